"""What a finished run cost, rule by rule: `python -m benchmarks.run_cost results/demo`.

Reads the records that the jobs left with what they made. Prints wall and CPU seconds and peak memory per rule, and how
busy the cores were while models were trained: the CPU seconds of all jobs that ran between the first start and the last
end of a training, divided by that time and by the number of cores. With ``--before`` the CPU seconds of another run
stand beside them; with ``--out`` the table is written.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from benchmarks.tables import write
from fedfactory.orchestration.declared import rules
from fedfactory.provenance.job_costs import JobCost, by_rule, job_costs
from fedfactory.provenance.record import machine
from fedfactory.storage.tables import to_markdown

# Rules that make optimiser steps, by their declarations.
TRAININGS = frozenset(name for name, rule in rules().items() if rule.steps)


def seconds_from_start_to_end(jobs: Sequence[JobCost]) -> float:
    """From the first start of a job to the last end."""
    return max(job.end for job in jobs) - min(job.end - job.seconds for job in jobs)


def busy_fraction(jobs: Sequence[JobCost], cores: int) -> tuple[float, float]:
    """Seconds of the training part, and its CPU seconds divided by those seconds and the cores.

    A job that only partly lies in that time counts with that part of its CPU seconds.
    """
    trainings = [job for job in jobs if job.rule in TRAININGS]
    start, end = min(job.end - job.seconds for job in trainings), max(job.end for job in trainings)
    cpu = 0.0
    for job in jobs:
        overlap = min(end, job.end) - max(start, job.end - job.seconds)
        cpu += job.cpu_seconds * max(0.0, overlap) / max(job.seconds, 1e-9)
    return end - start, cpu / (end - start) / cores


def row(rule: str, jobs: Sequence[JobCost], before: Sequence[JobCost] | None) -> dict[str, str | float]:
    """One line of the table."""
    cpu = sum(job.cpu_seconds for job in jobs)
    figures: dict[str, str | float] = {
        "rule": rule,
        "jobs": len(jobs),
        "wall s": round(sum(job.seconds for job in jobs)),
        "CPU s": round(cpu),
        "CPU s per job": round(cpu / len(jobs), 2),
        "peak MB": round(max(job.peak_memory_mb for job in jobs)),
    }
    return figures if before is None else figures | {"CPU s before": round(sum(job.cpu_seconds for job in before))}


def summary(jobs: Sequence[JobCost], cores: int) -> str:
    """How long the run took, and how busy the cores were."""
    seconds, fraction = busy_fraction(jobs, cores)
    return (
        f"{seconds_from_start_to_end(jobs):.0f} s from the first start of a job to the last end; while models were"
        f" trained, {seconds:.0f} s, {cores} cores were busy to {100 * fraction:.0f} %."
    )


def main() -> None:
    """Print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--before", type=Path, help="a run to compare with")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--out", type=Path, help="folder for NAME.csv and NAME.md")
    parser.add_argument("--name", default="run_cost", help="of both files")
    arguments = parser.parse_args()
    runs = [job_costs(run) for run in (arguments.run, arguments.before) if run is not None]
    now, *others = ({**by_rule(jobs), "all": jobs} for jobs in runs)
    rows = [row(rule, jobs, others[0].get(rule, []) if others else None) for rule, jobs in now.items()]
    rows.sort(key=lambda figures: (figures["rule"] == "all", -float(figures["CPU s"])))
    below = "".join(
        f"{name}{summary(jobs, arguments.cores)}\n" for name, jobs in zip(("", "Before: "), runs, strict=False)
    )
    if arguments.out is not None:
        write(rows, arguments.out, arguments.name, f"{machine()['processor']}. {below}")
        return
    print(to_markdown([{name: str(value) for name, value in row.items()} for row in rows]), below, sep="\n")


if __name__ == "__main__":
    main()
