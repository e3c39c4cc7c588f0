"""profiles/slurm on a real Slurm of one node, which .ci/run installs where it can (one_node.sh)."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.workflow.conftest import Project

pytestmark = [pytest.mark.workflow, pytest.mark.slurm]

NODE = Path(__file__).parent / "one_node.sh"
CELL = "results/test/mo/octa/nnunet/seed0/scores.csv"
# What a cluster of one node on loopback needs beside the profile: no account, no accounting, and less patience.
HERE = (
    *("--profile", "profiles/slurm", "--slurm-no-account", "--slurm-status-command", "squeue", "--latency-wait", "10"),
    *("--slurm-init-seconds-before-status-checks", "3", "--seconds-between-status-checks", "3"),
)
# A training that asks for the pretend GPU, and lasts long enough to be hit.
GPU = "device: auto\nmethods: {nnunet: {parameters: {epochs: 15, iterations_per_epoch: 10}}}\n"


@pytest.fixture(scope="module", autouse=True)
def slurm() -> Iterator[None]:
    done = subprocess.run([NODE, "start"], capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    yield
    subprocess.run(["scancel", "--user", "root"], check=False)
    subprocess.run([NODE, "stop"], check=False)


@pytest.fixture
def untrained(finished: Project, tmp_path: Path) -> Project:
    """The finished tiny run without its source models of MO."""
    project = Project(tmp_path / "project")
    shutil.copytree(finished.folder, project.folder, symlinks=True)
    for model in (project.folder / "results/test/mo/oasis").glob("nnunet*/seed0/model"):
        shutil.rmtree(model)
    return project


class Run:
    """Snakemake with the cluster's profile, in the background."""

    def __init__(self, project: Project, *arguments: str):
        self.project = project
        (project.folder / "config/gpu.yaml").write_text(GPU)
        self.log = project.folder / "snakemake.log"
        command = [str(Path(sys.executable).parent / "snakemake"), *HERE]
        command += ["--configfile", "config/test.yaml", "config/gpu.yaml", "--", *arguments]
        environment = os.environ | {"PYTHONPATH": str(project.folder / "src")}
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                command, cwd=project.folder, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def until(self, seen: Callable[[], object], seconds: int = 180) -> object:
        """Wait until something is there, and return it."""
        end = time.monotonic() + seconds
        while not (found := seen()):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.3)
        return found

    def finish(self, seconds: int = 400) -> None:
        assert self.process.wait(seconds) == 0, self.log.read_text()


def jobs_of(rule: str, *states: str) -> list[dict[str, str]]:
    """What Slurm says of the jobs of a rule that are in one of the states."""
    shown = subprocess.run(["scontrol", "--oneliner", "show", "job"], capture_output=True, text=True, check=False)
    lines = [line for line in shown.stdout.splitlines() if f"rule_{rule}" in line]
    jobs = [dict(re.findall(r"(\S+?)=(\S*)", line)) for line in lines]
    return [job for job in jobs if job["JobState"] in states]


def running(rule: str) -> dict[str, str] | None:
    """The first job of a rule that runs."""
    return next(iter(jobs_of(rule, "RUNNING")), None)


def memory_of(job: dict[str, str]) -> int:
    """MB that a job asks for; Slurm calls the field by another name from version to version."""
    return int(re.search(r"mem=(\d+)M", job.get("ReqTRES") or job["TRES"]).group(1))


def test_a_cell_is_made_on_the_cluster_whatever_happens_to_its_training(untrained: Project):
    """GPUs are asked for, and one training does not wait here for the other's; a job that the scheduler kills is
    submitted again with more; the controller may restart.
    """
    run = Run(untrained, CELL, "results/test/mo/oasis/nnunet_daug/seed0/model")
    first = run.until(lambda: running("nnunet_train"))
    assert any("gpu" in value for key, value in first.items() if key.startswith(("Tres", "ReqTRES"))), first
    both = run.until(lambda: jobs if len(jobs := jobs_of("nnunet_train", "RUNNING", "PENDING")) == 2 else None)
    (other,) = (job["JobId"] for job in both if job["JobId"] != first["JobId"])
    subprocess.run(["scancel", first["JobId"]], check=True)
    known = {first["JobId"], other}
    second = run.until(lambda: next((j for j in jobs_of("nnunet_train", "RUNNING") if j["JobId"] not in known), None))
    assert memory_of(second) == 2 * memory_of(first) and second["TimeLimit"] != first["TimeLimit"]
    # As `systemctl restart` does: one that crashes forgets what was submitted in its last seconds.
    while subprocess.run(["pkill", "-x", "slurmctld"], check=False).returncode == 0:
        time.sleep(0.2)
    time.sleep(5)
    subprocess.run(["slurmctld"], check=True)
    run.finish()
    assert (untrained.folder / CELL).exists()
    assert "Error in rule nnunet_train" in run.log.read_text() or "failed: nnunet_train" in run.log.read_text()


def test_snakemake_itself_may_be_killed_and_started_again(untrained: Project):
    """What it left in the queue keeps a second job for the same result away; cancelled, the same command goes on."""
    run = Run(untrained, CELL)
    training = run.until(lambda: running("nnunet_train"))
    out = untrained.folder / "results/test/mo/oasis/nnunet/seed0/model"
    run.until(out.with_name(".model.lock").exists)
    run.process.kill()
    run.process.wait()
    untrained.snakemake("--unlock", "--configfile", "config/test.yaml", "config/gpu.yaml")
    # Without the two minutes' patience.
    code = (
        "import runpy; from fedfactory.storage import files; files._PATIENCE = 0;"
        "runpy.run_path('workflow_scripts/nnunet_train.py', run_name='__main__')"
    )
    options = {"plan": "x", "parameters": "{}", "device": "cpu", "cell": "x", "seed": 0, "out": out}
    options["log"] = untrained.folder / "log"
    second = subprocess.run(
        [sys.executable, "-c", code, *(f"--{name}={value}" for name, value in options.items())],
        cwd=untrained.folder,
        env=os.environ | {"PYTHONPATH": str(untrained.folder / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"job {training['JobId']} of Slurm" in second.stderr
    subprocess.run(["scancel", training["JobId"]], check=True)
    Run(untrained, CELL).finish()
