"""Slices that sites send are data on the page, whatever a site writes into them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fedfactory.errors import FedFactoryError
from fedfactory.evaluation.slices import read_slices, write_script, write_slices

SLICE = {"number": 3, "image": "data:image/png;base64,aGVsbG8=", "contours": {"truth": {"brain": "M0.5 -1.0L2.0 1.0Z"}}}
CASE = {"subject": "s", "case": "c", "width": 4, "height": 3, "aspect": 1.5, "slices": [SLICE]}


def test_what_was_written_is_read(tmp_path):
    write_slices([CASE], tmp_path / "slices.json")
    assert read_slices(tmp_path / "slices.json") == [CASE]


@pytest.mark.parametrize(
    "content",
    [
        b'fedfactorySlices("mm/ct",[]);alert(1)//',
        b"",
        b"\xff\xfe",
        b"{}",
        b"[" * 100000,
        b'["case"]',
        json.dumps([CASE | {"extra": 1}]).encode(),
        json.dumps([CASE | {"width": "4"}]).encode(),
        json.dumps([CASE | {"aspect": float("nan")}]).encode(),
        json.dumps([CASE | {"slices": [SLICE | {"image": "https://elsewhere/x.png"}]}]).encode(),
        json.dumps([CASE | {"slices": [SLICE | {"image": "data:image/png;base64,aGk=\n"}]}]).encode(),
        json.dumps(
            [CASE | {"slices": [SLICE | {"contours": {"truth": {"brain": 'M0"/><script>x</script>'}}}]}]
        ).encode(),
    ],
)
@pytest.mark.attack("a site's slices that hold code for the coordinator's page", "refused when the page is made")
def test_what_is_no_picture_outline_or_name_is_refused(tmp_path, content):
    (tmp_path / "slices.json").write_bytes(content)
    with pytest.raises(FedFactoryError, match="slices.json: holds no slices of test cases"):
        read_slices(tmp_path / "slices.json")


@pytest.mark.attack("names of subjects that end a script", "shown as text")
def test_names_cannot_leave_the_script_that_holds_them(tmp_path):
    """Names are free text: of a subject that is called like code, a text comes back, and nothing runs."""
    name = '");globalThis.ran=1;//</script>\u2028'
    write_script("mm/ct", [CASE | {"subject": name}], tmp_path / "ct.js")
    text = (tmp_path / "ct.js").read_text()
    assert text.startswith('fedfactorySlices("mm/ct",[') and text.endswith("]);\n") and "\u2028" not in text
    assert json.loads(text.removeprefix('fedfactorySlices("mm/ct",').removesuffix(");\n"))[0]["subject"] == name


def test_a_page_is_not_written_of_what_is_refused(site: Path, tmp_path):
    """The page's job, with the slices of one site replaced by a program."""
    command = json.loads((site / "page_command.json").read_text())
    hostile = tmp_path / "slices.json"
    hostile.write_text('fedfactorySlices("ms/ge",[]);alert(1)')
    command[command.index("--slices") + 1] = str(hostile)
    command[command.index("--out") + 1] = "results/demo/other.html"
    ran = subprocess.run([sys.executable, *command], cwd=site.parents[1], capture_output=True, text=True, check=False)
    assert ran.returncode == 1 and f"{hostile}: holds no slices of test cases" in ran.stderr
    assert not (site / "other.html").exists()
