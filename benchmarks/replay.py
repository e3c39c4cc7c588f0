"""Jobs of a finished run, done again where they find their inputs only, and these at another place.

As a storage plugin of Snakemake does it: what a job reads and makes lies in copies below ``.snakemake/storage``, and
reaches it by its command line alone. A path that a job works out by itself leads nowhere.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedfactory.orchestration.portable import NATIVE, SETTINGS
from fedfactory.provenance.job_costs import records_by_job
from fedfactory.provenance.record import digests, read_record, record_of

ROOT = Path(__file__).parents[1]
_COPIES = Path(".snakemake/storage/fs/store")


@dataclass(frozen=True)
class FinishedJob:
    """A job as its records tell of it.

    Attributes:
        script: name of its workflow script.
        arguments: of its command line.
        inputs: what it was made from, ``results/<run>/...``.
        outputs: what it made -> path inside (``.`` of a file) -> digest.
        cpu_seconds: that it took.
        capability: whose kernels torch took; None where it was not used.
        behind: how many results it rests on: more than each of those does.
    """

    script: str
    arguments: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: Mapping[str, Mapping[str, str]]
    cpu_seconds: float
    capability: str | None
    behind: int

    @property
    def name(self) -> str:
        """For people: the script, and what it makes."""
        return f"{self.script}: {min(self.outputs)}"


@dataclass(frozen=True)
class Replay:
    """A job that was done again.

    Attributes:
        status: its exit status.
        said: the end of what it printed.
        seconds: wall time.
        cpu_seconds: of all its processes, by its record.
        differing: files with other bytes, or none any more.
        undeclared: files that it left beside what it makes, logs and records.
    """

    status: int
    said: str
    seconds: float
    cpu_seconds: float
    differing: tuple[str, ...]
    undeclared: tuple[str, ...]


def finished_jobs(run: Path) -> list[FinishedJob]:
    """Every job of a run, ``results/<run>``, in the order in which they started."""
    return [
        FinishedJob(
            script=parts[0]["job"],
            arguments=tuple(parts[0]["arguments"]),
            inputs=tuple(sorted({name for part in parts for name in part["inputs"]})),
            outputs={part["made"]: part["files"] for part in parts},
            cpu_seconds=parts[-1]["cpu_seconds"],
            capability=parts[0]["kernels"]["capability"],
            behind=max(len(part["behind"]) for part in parts),
        )
        for parts in records_by_job(run)
    ]


def one_of_each(jobs: Sequence[FinishedJob]) -> list[FinishedJob]:
    """The first job of every script, and of every method that shares one."""
    found: dict[tuple[str, str], FinishedJob] = {}
    for job in jobs:
        parts = Path(min(job.outputs)).parts
        method = parts[-3] if len(parts) > 6 else ""
        found.setdefault((job.script, method), job)
    return list(found.values())


def replay(job: FinishedJob, run: Path, scratch: Path, python: Sequence[str] = (), device: str | None = None) -> Replay:
    """Do a job again, with links to its inputs and nothing else.

    Args:
        job: of the run.
        run: its folder, ``results/<run>``.
        scratch: an empty folder.
        python: the command that runs a script; this process's Python by default.
        device: in place of the job's own, where it has one; ``cpu-fast`` takes the portable settings away.
    """
    project = run.resolve().parents[1]
    store = scratch / _COPIES
    store.mkdir(parents=True)
    # A rule may name an input twice.
    for name in dict.fromkeys(job.inputs):
        link = store / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(project / name)
    arguments = [str(_COPIES / text) if text.startswith("results/") else text for text in job.arguments]
    if device is not None and "--device" in arguments:
        arguments[arguments.index("--device") + 1] = device
    kept = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    settings = {} if device == NATIVE and "--device" in arguments else SETTINGS
    command = [*(python or [sys.executable]), str(ROOT / "workflow_scripts" / f"{job.script}.py"), *arguments]
    start = time.perf_counter()
    done = subprocess.run(
        command,
        cwd=scratch,
        env={**kept, **settings, "PYTHONPATH": str(ROOT / "src")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds, differing, records = time.perf_counter() - start, [], []
    for name, files in job.outputs.items():
        found = digests(store / name) if (store / name).exists() else {}
        # Its own: of the clients of a federation the process that waits here knows nothing.
        if (file := record_of(store / name)) is not None:
            records.append(read_record(file))
        differing += [f"{name}/{part}".removesuffix("/.") for part in files if found.get(part) != files[part]]
    return Replay(
        status=done.returncode,
        said=(done.stdout + done.stderr)[-2000:],
        seconds=seconds,
        cpu_seconds=max((record["cpu_seconds"] for record in records), default=0.0),
        differing=tuple(name for name in differing if not name.endswith("cell.json")),
        undeclared=tuple(_undeclared(job, scratch)),
    )


def _undeclared(job: FinishedJob, scratch: Path) -> Iterator[str]:
    for file in sorted(scratch.rglob("*")):
        inside = file.relative_to(scratch)
        name = str(inside.relative_to(_COPIES)) if inside.is_relative_to(_COPIES) else str(inside)
        aside = (
            file.is_dir()
            or file.is_symlink()
            or file.name.startswith(".")
            or (file.suffix == ".log" and "logs" in inside.parts)
        )
        if not aside and not any(Path(name).is_relative_to(made) for made in job.outputs):
            yield name
