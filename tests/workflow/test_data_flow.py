"""The DAG is the data flow: a job finds all that it reads among its rule's inputs, and leaves nothing but its outputs.

One job of every rule is done again with the files that the rule declares, at another place (benchmarks/replay.py).
"""

import re
import shlex
import sys
from pathlib import Path

import pytest

from benchmarks.replay import FinishedJob, replay
from fedfactory.orchestration.audit import Job
from fedfactory.orchestration.portable import SETTINGS
from fedfactory.orchestration.warm.listener import ADDRESS, CLIENT, listen
from fedfactory.provenance.record import digests
from tests.conftest import ROOT
from tests.workflow.conftest import Project

pytestmark = pytest.mark.workflow

NOT_RUN = {
    "all": "makes nothing",
    "unknown_cell": "never runs",
    "weights": "the test configuration has no published weights",
    "sam_predict_oracle": "the test configuration has no oracle",
}


def test_every_job_reads_its_inputs_and_writes_its_outputs_only(
    finished: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # Warm, as in a run: starts would take longer than the jobs.
    monkeypatch.setenv(ADDRESS, listen(SETTINGS))
    python = [sys.executable, "-I", "-S", str(CLIENT)]
    jobs = {job.rule: job for job in reversed(finished.jobs())}
    names = set(re.findall(r"^(?:use )?rule (?:\w+ as )?(\w+)", all_rules(), re.M))
    assert names - set(NOT_RUN) == set(jobs) - set(NOT_RUN)
    before, problems = finished.bytes_below("test"), {}
    for rule, job in jobs.items():
        if rule not in NOT_RUN:
            done = replay(as_finished(job, finished), finished.folder / "results/test", tmp_path / rule, python)
            problems[rule] = [done.said] if done.status else [*done.differing, *done.undeclared]
    assert not {rule: found for rule, found in problems.items() if found}
    assert finished.bytes_below("test") == before, "an input was changed"


def all_rules() -> str:
    files = [ROOT / "Snakefile", *sorted((ROOT / "rules").rglob("*.smk"))]
    return "\n".join(file.read_text() for file in files)


def as_finished(job: Job, project: Project) -> FinishedJob:
    """A planned job, with what the finished run holds of it."""
    _, script, *arguments = shlex.split(job.shell.replace("$SCRIPTS", str(ROOT / "workflow_scripts")))
    made = {name: digests(project.folder / name) for name in job.outputs}
    return FinishedJob(Path(script).stem, tuple(arguments), job.inputs, made, 0.0, None, 0)
