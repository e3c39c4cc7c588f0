"""What the jobs of a run read and write, by a dry run, and who reads private data of whom."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

Clients = set[tuple[str, str]]
"""(setup, client) each."""
FEDERATIONS: dict[str, Callable[[Clients, Clients, Clients], bool]] = {
    # Whoever takes part.
    "factory_train": lambda read, target, sources: True,
    # Everybody but the target.
    "feddg_train": lambda read, target, sources: not read & target,
    # The target, and its source.
    "fedmedgan_train": lambda read, target, sources: target <= read <= target | sources,
}
"""Rules that are a federation themselves: every client has a process of its own, which alone opens its store. And who
may take part, by the clients whose stores are read, those whose models are made, and the sources of all setups."""
TRUTH = ("score", "slices", "sam_predict_oracle")
"""Rules that may read the truth of test volumes: scoring, pictures of it, and a row that Table 1 refuses."""
PICTURES = ("figure2", "cells", "failures", "page", "all")
"""Rules that may read what clients release of the truth, for pictures; a method that did would see it."""
_PRIVATE = r"(?:raw\b|data\b|truth\b|nnunet_plan\b|\w+/seed\d+/(?:look|predictions)\b)"


@dataclass(frozen=True)
class Job:
    """A job of a dry run.

    Attributes:
        rule: its name.
        inputs: files that it waits for.
        outputs: files that it makes.
        shell: its command.
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
        named = re.findall(r"results/\S*/truth\b", " ".join((*self.inputs, self.shell)))
        return any(name not in self.outputs for name in named)

    def reads_released_truth(self) -> bool:
        """Whether slices with the truth of test volumes, released for pictures, are read: by inputs or command."""
        named = re.findall(r"results/\S*/(?:panel\.npz|worst\.npz|slices\.js)", " ".join((*self.inputs, self.shell)))
        return any(name not in self.outputs for name in named)

    def private_of(self, run: str) -> Clients:
        """Clients (setup, client) whose private data it reads, by its inputs or its command."""
        text = " ".join((*self.inputs, self.shell))
        return set(re.findall(rf"results/{re.escape(run)}/(\w+)/(\w+)/{_PRIVATE}", text))

    def clients(self, run: str) -> Clients:
        """Clients in whose folders it writes."""
        return set(re.findall(rf"results/{re.escape(run)}/(\w+)/(\w+)/", " ".join(self.outputs)))


def parse(dry_run: str) -> list[Job]:
    """Jobs of ``snakemake --dry-run --forceall --printshellcmds``, from what it prints."""
    jobs = []
    for block in re.split(r"\n(?=(?:local)?rule \w+:\n)", dry_run)[1:]:
        rule = block.partition("rule ")[2].partition(":")[0]
        files = {}
        for key in ("input", "output"):
            found = re.search(rf"^    {key}: (.*)$", block, re.M)
            files[key] = tuple(found.group(1).split(", ")) if found else ()
        shell = re.search(r"^Shell command: (.*)$", block, re.M)
        wildcards, resources = (_pairs(block, key) for key in ("wildcards", "resources"))
        numbers = {key: float(value) for key, value in resources.items() if re.fullmatch(r"[\d.]+", value)}
        # A job without a command, which only waits for others, is printed with None.
        command = shell.group(1) if shell and shell.group(1) != "None" else ""
        jobs.append(Job(rule, files["input"], files["output"], command, wildcards, numbers))
    return jobs


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
        names = re.findall(rf"{re.escape(own)}({_PRIVATE})", " ".join((*job.inputs, job.shell)))
        # A command names what it makes as well.
        names = [name for name in names if own + name not in job.outputs]
        read = {re.sub(r"\w+/seed\d+", "<method>/<seed>", name) for name in names}
        left = {re.sub(r"seed\d+", "<seed>", name) for name in job.outputs if not name.startswith(own)}
        found.setdefault(job.rule, []).append((read, left))
    return [
        Use(rule, len(items), *(tuple(sorted(set().union(*(item[part] for item in items)))) for part in (0, 1)))
        for rule, items in found.items()
    ]


def _pairs(block: str, key: str) -> dict[str, str]:
    """A line ``key: a=1, b=2`` of a job."""
    found = re.search(rf"^    {key}: (.*)$", block, re.M)
    return dict(pair.split("=", 1) for pair in found.group(1).split(", ") if "=" in pair) if found else {}


def violations(jobs: Iterable[Job], run: str, centralised: Iterable[str], sources: Mapping[str, str]) -> list[str]:
    """Sentences for jobs that read private data that they may not.

    Args:
        jobs: of the run.
        run: its name.
        centralised: methods that are declared centralised.
        sources: setup -> its source client.
    """
    found = []
    declared = tuple(f"/{name}/" for name in centralised)
    for job in jobs:
        if job.rule not in TRUTH and job.reads_truth():
            found.append(f"rule {job.rule}, which makes {', '.join(job.outputs)}, reads the truth of test volumes")
        if job.rule not in PICTURES and job.reads_released_truth():
            found.append(
                f"rule {job.rule}, which makes {', '.join(job.outputs)}, reads pictures with the truth in them"
            )
        read, written = job.private_of(run), job.clients(run)
        if any(mark in name for mark in declared for name in job.outputs):
            continue
        if job.rule in FEDERATIONS:
            allowed = (
                FEDERATIONS[job.rule](read, written, set(sources.items()))
                and len({setup for setup, _ in read | written}) == 1
            )
        else:
            allowed = not read or (len(read) == 1 and (not written or read == written))
        if not allowed:
            names = ", ".join("/".join(client) for client in sorted(read))
            found.append(f"rule {job.rule}, which makes {', '.join(job.outputs)}, reads private data of {names}")
    return found
