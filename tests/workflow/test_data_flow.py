"""The DAG is the data flow: a job finds all that it reads among its rule's inputs, and leaves nothing but its outputs.

One job of every rule is run again by Snakemake in a copy of the project that holds no results but the job's inputs.
"""

import re
import shutil
from pathlib import Path

import pytest

from fedfactory.orchestration.audit import Job
from tests.conftest import ROOT
from tests.workflow.conftest import TINY, Project

pytestmark = pytest.mark.workflow

NOT_RUN = {
    "all": "makes nothing",
    "unknown_cell": "never runs",
    "fit": "the test configuration has no method that is fitted at the target alone; see test_examples.py",
    "weights": "the test configuration has no published weights",
    "sam_predict_oracle": "the test configuration has no oracle",
}


def test_every_job_reads_its_inputs_and_writes_its_outputs_only(finished: Project, fresh: Project):
    jobs = {job.rule: job for job in reversed(finished.jobs())}
    names = set(re.findall(r"^(?:use )?rule (?:\w+ as )?(\w+)", all_rules(), re.M))
    assert names - set(NOT_RUN) == set(jobs) - set(NOT_RUN)
    problems = {rule: found for rule, job in jobs.items() if rule != "all" and (found := replay(job, finished, fresh))}
    assert not problems


def all_rules() -> str:
    files = [ROOT / "Snakefile", *sorted((ROOT / "rules").rglob("*.smk"))]
    return "\n".join(file.read_text() for file in files)


def replay(job: Job, finished: Project, empty: Project) -> list[str]:
    """Run one job where nothing but its inputs is there; sentences for what differs."""
    for left in ("results", ".snakemake"):
        shutil.rmtree(empty.folder / left, ignore_errors=True)
    for name in job.inputs:
        copy(finished.folder / name, empty.folder / name)
    given = files_below(empty.folder)
    done = empty.snakemake(*job.outputs, *TINY, "--allowed-rules", job.rule, check=False)
    if done.returncode:
        return [done.stderr]
    made = files_below(empty.folder)
    expected = {name: content for output in job.outputs for name, content in files_at(finished.folder, output).items()}
    made_only = made.keys() - given.keys()
    return [
        *(f"{name}: is not made" for name in sorted(expected.keys() - made.keys())),
        *(f"{name}: is no output" for name in sorted(made_only - expected.keys())),
        *(
            f"{name}: has other bytes"
            for name in sorted(expected.keys() & made.keys())
            if differs(name, expected, made)
        ),
        *(f"{name}: an input was changed" for name in sorted(given) if made.get(name) != given[name]),
    ]


def differs(name: str, expected: dict[str, bytes], made: dict[str, bytes]) -> bool:
    # When and where a cell was made is what its story tells.
    return not name.endswith("/cell.json") and expected[name] != made[name]


def copy(source: Path, to: Path) -> None:
    """A file, or a folder with the record that lies in it."""
    to.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, to, dirs_exist_ok=True)
    else:
        shutil.copy2(source, to)


def files_below(folder: Path) -> dict[str, bytes]:
    """Everything below results but records, logs and benchmarks."""
    return files_at(folder, "results")


def files_at(folder: Path, name: str) -> dict[str, bytes]:
    place = folder / name
    found = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
    inside = {path.relative_to(folder): path for path in found if path.name[0] != "."}
    return {
        str(path): file.read_bytes()
        for path, file in inside.items()
        if len(path.parts) < 3 or path.parts[2] not in ("logs", "benchmarks")
    }
