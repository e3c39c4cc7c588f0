"""What the jobs of a run read and write, by a dry run, and who reads private data of whom."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

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
TRUTH = ("score", "sam_predict_oracle")
"""Rules that may read the truth of test volumes; the second is of a row that Table 1 refuses."""
_PRIVATE = r"(?:raw\b|data\b|truth\b|nnunet_plan\b|\w+/seed\d+/(?:look|predictions)\b)"


@dataclass(frozen=True)
class Job:
    """A job of a dry run.

    Attributes:
        rule: its name.
        inputs: files that it waits for.
        outputs: files that it makes.
        shell: its command.
    """

    rule: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shell: str

    def reads_truth(self) -> bool:
        """Whether the truth of test volumes is among its inputs, or in its command without being made by it."""
        named = re.findall(r"results/\S*/truth\b", " ".join((*self.inputs, self.shell)))
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
        rule = re.match(r"(?:local)?rule (\w+):", block).group(1)
        files = {}
        for key in ("input", "output"):
            found = re.search(rf"^    {key}: (.*)$", block, re.M)
            files[key] = tuple(found.group(1).split(", ")) if found else ()
        shell = re.search(r"^Shell command: (.*)$", block, re.M)
        # A job without a command, which only waits for others, is printed with None.
        command = shell.group(1) if shell and shell.group(1) != "None" else ""
        jobs.append(Job(rule, files["input"], files["output"], command))
    return jobs


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
