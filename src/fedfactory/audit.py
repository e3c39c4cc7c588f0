"""What the jobs of a run read and write, by a dry run, and who reads private data of whom."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

FEDERATIONS = ("factory_train", "feddg_train", "fedmedgan_train")
"""Rules that are a federation themselves: every client has a process of its own, which alone opens its store."""
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

    def private_of(self, run: str) -> set[tuple[str, str]]:
        """Clients (setup, client) whose private data it reads, by its inputs or its command."""
        text = " ".join((*self.inputs, self.shell))
        return set(re.findall(rf"results/{re.escape(run)}/(\w+)/(\w+)/{_PRIVATE}", text))

    def clients(self, run: str) -> set[tuple[str, str]]:
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
        shell = re.search(r"^python .*$", block, re.M)
        jobs.append(Job(rule, files["input"], files["output"], shell.group(0) if shell else ""))
    return jobs


def violations(jobs: Iterable[Job], run: str, centralised: Iterable[str]) -> list[str]:
    """Sentences for jobs that read private data that they may not.

    Args:
        jobs: of the run.
        run: its name.
        centralised: methods that are declared centralised.
    """
    found = []
    declared = tuple(f"/{name}/" for name in centralised)
    for job in jobs:
        if any("/truth" in name for name in job.inputs) and job.rule != "score":
            found.append(f"rule {job.rule} reads the truth of test volumes: {', '.join(job.inputs)}")
        read, written = job.private_of(run), job.clients(run)
        if job.rule in FEDERATIONS or any(mark in name for mark in declared for name in job.outputs):
            continue
        if len(read) > 1 or (read and written and read != written):
            names = ", ".join("/".join(client) for client in sorted(read))
            found.append(f"rule {job.rule}, which makes {', '.join(job.outputs)}, reads private data of {names}")
    return found
