"""What the jobs of a run read and write, as Snakemake plans them, and who reads private data of whom.

Jobs come from Snakemake's own events (the logger plugin ``fedfactory-jobs``); what their rules may do comes from the
declarations of methods and stages (:mod:`fedfactory.orchestration.declared`).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fedfactory.errors import FedFactoryError
from fedfactory.orchestration.declared import Reads, private, rule, rules

Clients = set[tuple[str, str]]
"""(setup, client) each."""
_LINES = 12


@dataclass(frozen=True)
class Job:
    """A job of a run.

    Attributes:
        rule: its name.
        inputs: files that it waits for.
        outputs: files that it makes.
        shell: its command; empty for a job that only waits for others.
        wildcards: their values.
        resources: those that are numbers, for instance ``mem_mb``, ``runtime`` in minutes and ``gpu``.
    """

    rule: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shell: str
    wildcards: Mapping[str, str] = field(default_factory=dict)
    resources: Mapping[str, float] = field(default_factory=dict)

    def reads_truth(self) -> bool:
        """Whether the truth of test volumes is among its inputs, or in its command without being made by it."""
        return bool(self._read(r"results/\S*/truth\b"))

    def reads_released_truth(self) -> bool:
        """Whether slices with the truth of test volumes, released for pictures, are read: by inputs or command."""
        return bool(self._read(rf"results/\S*/(?:{_any(name for own in rules().values() for name in own.releases)})"))

    def private_of(self, run: str) -> Clients:
        """Clients (setup, client) whose private data it reads, by its inputs or its command."""
        return {(setup, client) for setup, client, _ in self._private(run)}

    def private_parts(self, run: str, setup: str, client: str) -> set[str]:
        """Which of a client's private files and folders it reads, without those that it makes."""
        own = f"results/{run}/{setup}/{client}/"
        found = {part for *owner, part in self._private(run) if owner == [setup, client]}
        return {part for part in found if own + part not in self.outputs}

    def clients(self, run: str) -> Clients:
        """Clients in whose folders it writes."""
        return set(re.findall(rf"results/{re.escape(run)}/(\w+)/(\w+)/", " ".join(self.outputs)))

    def _private(self, run: str) -> list[tuple[str, str, str]]:
        names = _any(private())
        pattern = rf"results/{re.escape(run)}/(\w+)/(\w+)/((?:\w+/seed\d+/)?(?:{names})\b)"
        return re.findall(pattern, " ".join((*self.inputs, self.shell)))

    def _read(self, pattern: str) -> list[str]:
        named = re.findall(pattern, " ".join((*self.inputs, self.shell)))
        return [name for name in named if name not in self.outputs]


def planned(
    project: Path, files: Sequence[Path], *options: str, folder: Path | None = None, targets: Sequence[str] = ()
) -> list[Job]:
    """Jobs that a run has left, by Snakemake itself; all of them with the option ``--forceall``.

    Args:
        project: folder of the Snakefile.
        files: of the configuration.
        options: for Snakemake.
        folder: where it would run; None for the project's folder.
        targets: files to make; the whole run without.

    Raises:
        FedFactoryError: Snakemake refuses the configuration.
    """
    with tempfile.TemporaryDirectory() as temporary:
        listed = Path(temporary) / "jobs.jsonl"
        command = [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1", "--snakefile", project / "Snakefile"]
        command += ["--logger", "fedfactory-jobs", "--logger-fedfactory-jobs-file", listed, *options]
        command += ["--directory", folder or project, "--configfile", *files, "--", *targets]
        result = subprocess.run(
            [str(word) for word in command],
            cwd=project,
            # The project's own package, whichever one asks.
            env=os.environ | {"PYTHONPATH": f"{project.resolve() / 'src'}:{os.environ.get('PYTHONPATH', '')}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode:
            tail = "\n".join((result.stdout + result.stderr).splitlines()[-_LINES:])
            raise FedFactoryError(f"the run cannot be planned:\n{tail}")
        return read_jobs(listed)


def read_jobs(file: Path) -> list[Job]:
    """Jobs as the logger plugin ``fedfactory-jobs`` wrote them."""
    jobs = [json.loads(line) for line in file.read_text().splitlines()]
    return [Job(**{**job, "inputs": tuple(job["inputs"]), "outputs": tuple(job["outputs"])}) for job in jobs]


@dataclass(frozen=True)
class Use:
    """What the jobs of a rule do with one client's private data.

    Attributes:
        rule: its name.
        jobs: how many of its jobs read them.
        reads: which of the client's folders.
        leaves: what they write outside of the client's own folder; with a pattern for names that differ.
    """

    rule: str
    jobs: int
    reads: tuple[str, ...]
    leaves: tuple[str, ...]


def uses(jobs: Iterable[Job], run: str, setup: str, client: str) -> list[Use]:
    """Every rule that reads private data of a client, in the order of the jobs."""
    own = f"results/{run}/{setup}/{client}/"
    found: dict[str, list[tuple[set[str], set[str]]]] = {}
    for job in jobs:
        if (setup, client) not in job.private_of(run):
            continue
        read = {re.sub(r"\w+/seed\d+", "<method>/<seed>", name) for name in job.private_parts(run, setup, client)}
        left = {re.sub(r"seed\d+", "<seed>", name) for name in job.outputs if not name.startswith(own)}
        found.setdefault(job.rule, []).append((read, left))
    return [
        Use(name, len(items), *(tuple(sorted(set().union(*(item[part] for item in items)))) for part in (0, 1)))
        for name, items in found.items()
    ]


def violations(jobs: Iterable[Job], run: str, centralised: Iterable[str], sources: Mapping[str, str]) -> list[str]:
    """Sentences for jobs that read private data that they may not.

    Args:
        jobs: of the run.
        run: its name.
        centralised: methods that are declared centralised.
        sources: setup -> its source client.
    """
    found, declared = [], set(centralised)
    for job in jobs:
        may, who = rule(job.rule), f"rule {job.rule}, which makes {', '.join(job.outputs)},"
        if not may.truth and job.reads_truth():
            found.append(f"{who} reads the truth of test volumes")
        if not may.shows_truth and job.reads_released_truth():
            found.append(f"{who} reads pictures with the truth in them")
        if job.wildcards.get("method") in declared:
            continue
        if not _allowed(may.reads, job.private_of(run), job.clients(run), sources):
            names = ", ".join("/".join(client) for client in sorted(job.private_of(run)))
            found.append(f"{who} reads private data of {names}")
    return found


def _allowed(may: Reads, read: Clients, written: Clients, sources: Mapping[str, str]) -> bool:
    """Whether a job that writes in the folders of some clients may read private data of these."""
    if may.federated and len({setup for setup, _ in read | written}) != 1:
        return False
    match may:
        case Reads.OWN:
            return not read or (len(read) == 1 and (not written or read == written))
        case Reads.SOURCE_AND_TARGET:
            return written <= read <= written | set(sources.items())
        case Reads.ALL_BUT_TARGET:
            return not read & written
        case Reads.ALL:
            return True


def _any(names: Iterable[str]) -> str:
    return "|".join(sorted(map(re.escape, set(names))))
