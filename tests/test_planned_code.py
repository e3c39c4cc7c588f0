"""A job runs the code that was planned, or nothing: whenever a module is edited, and also if it is put back."""

import shutil
import subprocess
import sys

import pytest

from fedfactory.orchestration.code_digest import CodePlan, code_digest
from tests.conftest import ROOT

MODULE = "evaluation/dice.py"
SCRIPT = """
import argparse
from pathlib import Path
from fedfactory.orchestration.job import run_script
{top}

def main(arguments):
    from fedfactory.storage.files import new_file
    {work}
    from fedfactory.evaluation import dice
    with new_file(arguments.out) as file:
        file.write_text(str(getattr(dice, "HALVED", False)))
        {late}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path)
    run_script(parser, main)
"""
EDIT = 'm = Path("src/fedfactory/evaluation/dice.py"); t = m.read_text(); m.write_text(t + "\\nHALVED = True\\n")'
BACK = "m.write_text(t)"


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A copy of the package that may be edited."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "src/fedfactory", folder / "src/fedfactory", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def run(folder, **parts):
    """Plan a script, then run it; returns its exit status, what it says, and what it wrote."""
    (folder / "job.py").write_text(SCRIPT.format(**({"top": "", "work": "", "late": ""} | parts)))
    shutil.copy(ROOT / "src/fedfactory" / MODULE, folder / "src/fedfactory" / MODULE)
    out = folder / "out.txt"
    out.unlink(missing_ok=True)
    plan = (
        "from pathlib import Path; from fedfactory.orchestration.code_digest import PlannedCode;"
        "print(PlannedCode.plan(Path('job.py')))"
    )
    environment = {"PYTHONPATH": str(folder / "src"), "PATH": ""}
    options = {"cwd": folder, "env": environment, "capture_output": True, "text": True, "check": False}
    code = subprocess.run([sys.executable, "-c", plan], **options).stdout.strip()
    done = subprocess.run([sys.executable, "job.py", "--out", str(out), "--log", "log", "--code", code], **options)
    return done.returncode, done.stderr, out.read_text() if out.exists() else None


def test_the_planned_code_runs(package):
    assert run(package) == (0, "", "False")


def test_code_of_another_plan_is_refused(package):
    (package / "job.py").write_text("")
    status, said, written = run(package, top="import sys; sys.argv[-1] = '0123456789abcdef'")
    assert (status, written) == (1, None)
    assert "job.py, or a module that it imports: was edited after the workflow was planned" in said


@pytest.mark.parametrize(
    "parts",
    [
        {"top": EDIT},
        {"top": f"{EDIT}\nfrom fedfactory.evaluation import dice\n{BACK}"},
        {"work": EDIT},
    ],
    ids=["before the job starts", "while modules load, and put back", "before it is loaded"],
)
def test_an_edit_that_could_reach_the_result_is_refused(package, parts):
    status, said, written = run(package, **parts)
    assert (status, written) == (1, None)
    assert "was edited after the workflow was planned; nothing was written" in said


@pytest.mark.parametrize("parts", [{"work": f"{EDIT}; {BACK}"}, {"late": EDIT}], ids=["put back", "too late"])
def test_an_edit_that_nothing_loaded_changes_nothing(package, parts):
    assert run(package, **parts) == (0, "", "False")


@pytest.mark.parametrize(("old", "new"), [("HALVED", "H"), ("nothing", "something")], ids=["function", "constant"])
def test_another_script_than_the_file_is_refused(package, old, new):
    edit = "import sys; X = 'nothing'; p = Path(sys.argv[0]); s = p.read_text()"
    edit += f"; p.write_text(s.replace({old!r}, {new!r}))"
    status, said, written = run(package, top=edit)
    assert (status, written) == (1, None)
    assert "was edited" in said


def test_a_node_takes_over_what_was_planned(tmp_path, monkeypatch):
    monkeypatch.delenv("FEDFACTORY_PLANNED_CODE", raising=False)
    script = tmp_path / "job.py"
    script.write_text("X = 1\n")
    planned = CodePlan(takes_over=False).code(script)
    script.write_text("X = 2\n")
    code_digest.cache_clear()
    assert CodePlan(takes_over=True).code(script) == planned
    assert CodePlan(takes_over=False).code(script) != planned
