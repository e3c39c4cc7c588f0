"""What a finished run cost, rule by rule: `python -m benchmarks.run_cost results/demo`.

Reads the records that the jobs left with what they made. Prints wall and CPU seconds and peak memory per rule, and how
busy the cores were while models were trained: the CPU seconds of all jobs that ran between the first start and the last
end of a training, divided by that time and by the number of cores.
"""

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from fedfactory.orchestration.declared import rules
from fedfactory.provenance.job_costs import JobCost, job_costs

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


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    jobs = job_costs(arguments.run)
    rules = defaultdict(list)
    for job in jobs:
        rules[job.rule].append(job)
    print(f"{'rule':18}{'jobs':>5}{'wall s':>9}{'CPU s':>9}{'CPU s/job':>11}{'peak MB':>9}")
    for rule, items in sorted(rules.items(), key=lambda item: -sum(job.cpu_seconds for job in item[1])):
        wall, cpu = sum(job.seconds for job in items), sum(job.cpu_seconds for job in items)
        memory = max(job.peak_memory_mb for job in items)
        print(f"{rule:18}{len(items):5}{wall:9.1f}{cpu:9.1f}{cpu / len(items):11.2f}{memory:9.0f}")
    whole, cpu = seconds_from_start_to_end(jobs), sum(job.cpu_seconds for job in jobs)
    print(f"all jobs: {whole:.0f} s from first start to last end, {cpu:.0f} CPU s")
    seconds, fraction = busy_fraction(jobs, arguments.cores)
    print(f"training part: {seconds:.0f} s, {arguments.cores} cores busy to {100 * fraction:.0f} %")


if __name__ == "__main__":
    main()
