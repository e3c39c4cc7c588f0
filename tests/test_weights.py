"""Published weights: fetched, checked, refused."""

import hashlib
import http.client
import io
import json
import subprocess
import sys
import urllib.error
from dataclasses import asdict, replace

import pytest

from fedfactory.errors import FedFactoryError
from fedfactory.orchestration.progress import Progress
from fedfactory.storage import weights
from fedfactory.storage.weights import Weights, check, fetch, require_consent
from fedfactory.storage.weights_choice import TINY, note_on_weights
from fedfactory.storage.weights_table import WeightsTable
from tests.conftest import ROOT

CONTENT = b"a table of numbers" * 100
ENTRY = Weights(
    "model.pt", "https://example.org/model.pt", "Research licence", True, hashlib.sha256(CONTENT).hexdigest(), 1800
)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(weights, "_PAUSE", 0.0)


def get(entry, path, opener):
    fetch("model", entry, path, Progress("x"), opener)


def test_the_published_table_can_be_read():
    table = WeightsTable.read(ROOT)
    assert set(table.entries) == {"universeg-v1", "sam-vit-b", "medsam-vit-b"}
    assert table.path("sam-vit-b") == "weights/sam_vit_b_01ec64.pth"
    with pytest.raises(FedFactoryError, match="'sam' is not in config/weights.yaml; known are universeg-v1"):
        table.entry("sam", "methods.sam.parameters.weights")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("file: ../model.pt", "'../model.pt' leaves its folder"),
        ("digest: 1", "key 'm.digest': is unknown"),
        ("sha256: abc", "key 'm.sha256'"),
    ],
)
def test_a_table_that_cannot_be(tmp_path, line, message):
    lines = {"file": "model.pt", "url": "null", "licence": "x", "consent": "false", "sha256": "null", "bytes": "null"}
    key, value = line.split(": ")
    (tmp_path / "config").mkdir()
    text = "m:\n" + "".join(f"  {k}: {v}\n" for k, v in (lines | {key: value}).items())
    (tmp_path / "config" / "weights.yaml").write_text(text)
    with pytest.raises(FedFactoryError, match=message):
        WeightsTable.read(tmp_path)


def test_a_file_is_fetched_after_a_failure(tmp_path):
    tries = []

    def opener(url):
        tries.append(url)
        if len(tries) < 3:
            raise urllib.error.URLError("no route")
        return io.BytesIO(CONTENT)

    get(ENTRY, tmp_path / "weights" / "model.pt", opener)
    assert len(tries) == 3
    assert check("model", ENTRY, tmp_path / "weights" / "model.pt") == ENTRY.sha256


@pytest.mark.parametrize(
    ("content", "fetched", "checked"),
    [
        (CONTENT[:-1], r"cannot be fetched \(the connection ended after 1799 of 1800 bytes\)", "it is cut off"),
        (CONTENT[:-1] + b"!", "it is another file; remove it", "it is another file; remove it"),
    ],
)
def test_another_file_never_appears(tmp_path, content, fetched, checked):
    path = tmp_path / "model.pt"
    with pytest.raises(FedFactoryError, match=fetched):
        get(ENTRY, path, lambda url: io.BytesIO(content))
    assert not list(tmp_path.iterdir())
    path.write_bytes(content)
    with pytest.raises(FedFactoryError, match=checked):
        check("model", ENTRY, path)
    assert path.read_bytes() == content, "what somebody put there stays"


def test_a_file_that_nobody_has_measured_is_kept_and_not_used(tmp_path):
    entry, path = replace(ENTRY, sha256=None), tmp_path / "model.pt"
    get(entry, path, lambda url: io.BytesIO(CONTENT))
    with pytest.raises(
        FedFactoryError, match=f"is null; if you trust where .*model.pt comes from, enter {ENTRY.sha256}"
    ):
        check("model", entry, path)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("failure", [http.client.IncompleteRead(b""), ConnectionResetError("reset")])
def test_a_dropped_connection_is_tried_again(tmp_path, failure):
    class Dropped(io.BytesIO):
        def read(self, size=-1):
            raise failure

    answers = [Dropped(), io.BytesIO(CONTENT[:100]), io.BytesIO(CONTENT)]
    get(ENTRY, tmp_path / "model.pt", lambda url: answers.pop(0))
    assert not answers and (tmp_path / "model.pt").read_bytes() == CONTENT


def test_the_length_that_the_server_names_counts_where_nobody_measured(tmp_path):
    class Answer(io.BytesIO):
        headers = {"Content-Length": "1800"}

    entry, answers = replace(ENTRY, sha256=None, bytes=None), [Answer(CONTENT[:90]), Answer(CONTENT)]
    get(entry, tmp_path / "model.pt", lambda url: answers.pop(0))
    assert not answers and (tmp_path / "model.pt").read_bytes() == CONTENT


def test_a_licence_is_accepted_by_name_before_anything_is_fetched_or_used(tmp_path):
    command = [sys.executable, str(ROOT / "workflow_scripts/weights.py"), "--name", "model", "--file", "model.pt"]
    command += ["--entry", json.dumps(asdict(ENTRY)), "--weights", "own.pt", "--out", "record.json", "--log", "log"]
    (tmp_path / "model.pt").write_bytes(CONTENT)

    def run(*accepted):
        return subprocess.run([*command, "--accepted", *accepted], cwd=tmp_path, capture_output=True, text=True)

    refused = run("Another licence")
    assert refused.returncode and "accept_licences: ['Research licence']" in refused.stderr
    assert not (tmp_path / "record.json").exists(), "a file that somebody dropped in needs the consent as well"
    assert run("Research licence").returncode == 0
    assert json.loads((tmp_path / "record.json").read_text())["sha256"] == ENTRY.sha256
    assert (tmp_path / "own.pt").read_bytes() == CONTENT
    require_consent("model", replace(ENTRY, consent=False), ())


def test_what_its_owner_wants_fetched_by_hand_is_asked_for(tmp_path):
    with pytest.raises(FedFactoryError, match="wants it fetched by hand"):
        get(replace(ENTRY, url=None), tmp_path / "model.pt", lambda url: io.BytesIO(CONTENT))


def test_no_connection_is_said(tmp_path):
    def opener(url):
        raise urllib.error.URLError("no route")

    with pytest.raises(FedFactoryError, match=r"cannot be fetched .*no route.*put the file at .*model.pt by hand"):
        get(ENTRY, tmp_path / "model.pt", opener)


def test_the_table_says_what_published_weights_may_have_seen():
    """A test set of the same name as a training set may hold the same patients."""
    note = note_on_weights({"weights": "universeg-v1"})
    assert "M&Ms (MS), OCTA-500 and OASIS (MO)" in note and "weights.json" in note
    assert "SA-1B" in note_on_weights({"weights": "sam-vit-b"})
    assert "procedural tasks" in note_on_weights({"weights": TINY})
    assert note_on_weights({"weights": "unknown"}).endswith("weights.json.")
