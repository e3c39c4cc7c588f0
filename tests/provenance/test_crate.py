"""A run as an RO-Crate."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import rocrate

from fedfactory.errors import FedFactoryError
from fedfactory.orchestration.cli import main
from fedfactory.orchestration.progress import Progress
from fedfactory.provenance.crate import CRATE, write_crate
from fedfactory.provenance.verify import verify
from tests.conftest import ROOT

VALIDATOR = ROOT / ".venv/validators/bin/rocrate-validator"


@pytest.fixture
def run(cell):
    """The folder of a run with one cell."""
    return cell


def entities(run):
    return {entity["@id"]: entity for entity in json.loads((run / CRATE).read_text())["@graph"]}


def test_every_job_is_an_action_that_made_something_from_something(run, capsys):
    assert main(["crate", str(run)]) == 0
    found = entities(run)
    actions = [entity for entity in found.values() if entity["@type"] == "CreateAction"]
    assert f"{len(actions)} jobs" in capsys.readouterr().out and actions
    for action in actions:
        assert action["startTime"] <= action["endTime"]
        for part in (*action["result"], *action.get("object", [])):
            assert (run / part["@id"]).exists() and found[part["@id"]]["sha256"]
    scores = next(entity for entity in found.values() if entity["@id"].endswith("scores.csv"))
    assert scores["encodingFormat"] == "text/csv"
    (maker,) = [action for action in actions if {"@id": scores["@id"]} in action["result"]]
    assert maker["object"] and all(part["@id"] in found for part in maker["object"])


def test_the_same_records_give_the_same_bytes_and_a_run_stays_sound(run):
    write_crate(run)
    first = (run / CRATE).read_bytes()
    write_crate(run)
    assert (run / CRATE).read_bytes() == first
    assert not verify(run, Progress("verify")).unrecorded


def test_a_folder_without_records_is_no_run(tmp_path):
    with pytest.raises(FedFactoryError, match="nothing in it has a record"):
        write_crate(tmp_path)


@pytest.mark.skipif(not VALIDATOR.exists(), reason="no validators here: make .venv/validators/.complete")
def test_the_validator_of_ro_crates_is_content(run, tmp_path):
    """Without a network: the context of RO-Crates comes from the package that writes them."""
    write_crate(run, "https://creativecommons.org/publicdomain/zero/1.0/")
    copy, cache = shutil.copytree(run, tmp_path / "crate"), tmp_path / "cache"
    context = json.loads((copy / CRATE).read_text())["@context"]
    address = context if isinstance(context, str) else next(part for part in context if isinstance(part, str))
    document = Path(rocrate.__file__).parent / "data/ro-crate.jsonld"
    prime = [str(VALIDATOR.with_name("python")), str(Path(__file__).with_name("offline_context.py"))]
    subprocess.run([*prime, str(cache), str(document), address], check=True)
    (version,) = re.findall(r"/crate/([\d.]+)/context", address)
    command = [str(VALIDATOR), "--no-interactive", "validate", "--profile-identifier", f"ro-crate-{version}"]
    options = ["--requirement-severity", "required", "--offline", "--cache-path", str(cache)]
    done = subprocess.run([*command, *options, str(copy)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
