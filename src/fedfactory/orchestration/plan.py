"""A run's plan: which jobs are left, and what each stage of them takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fedfactory.config.run import Config
from fedfactory.data.releases import ReleaseTable, store_mb
from fedfactory.orchestration.audit import Job
from fedfactory.orchestration.costs import Costs


@dataclass(frozen=True)
class PlannedStage:
    """All jobs of one rule that are left.

    Attributes:
        rule: its name.
        jobs: how many.
        gpu_hours: hours with a GPU, all jobs together.
        cpu_hours: hours of one core without.
        longest_hours: of the longest job.
        memory_gb: largest memory that a job asks for.
        disk_gb: what they leave, all jobs together; 0 where that is little.
        basis: where the hours come from.
    """

    rule: str
    jobs: int
    gpu_hours: float
    cpu_hours: float
    longest_hours: float
    memory_gb: float
    disk_gb: float
    basis: str


@dataclass(frozen=True)
class Plan:
    """What is left of a run.

    Attributes:
        stages: in the order in which they first occur.
        jobs: number of all jobs.
        chain_hours: hours of the longest chain of jobs that wait for each other: no cluster is faster.
    """

    stages: tuple[PlannedStage, ...]
    jobs: int
    chain_hours: float


def make_plan(jobs: Sequence[Job], config: Config, costs: Costs, table: ReleaseTable) -> Plan:
    """Add up what the jobs take.

    Args:
        jobs: what is left, from :func:`fedfactory.orchestration.audit.planned`.
        config: the run.
        costs: what jobs take.
        table: what complete releases hold, for the size of stores.
    """
    seconds, basis = {}, {}
    for number, job in enumerate(jobs):
        seconds[number], basis[job.rule] = costs.of(job)
    stages = []
    for rule in dict.fromkeys(job.rule for job in jobs if job.shell):
        own = [number for number, job in enumerate(jobs) if job.rule == rule]
        on_gpu = [seconds[n] for n in own if jobs[n].resources.get("gpu", 0) > 0]
        on_cpu = [seconds[n] for n in own if jobs[n].resources.get("gpu", 0) == 0]
        stages.append(
            PlannedStage(
                rule=rule,
                jobs=len(own),
                gpu_hours=sum(on_gpu) / 3600,
                cpu_hours=sum(on_cpu) / 3600,
                longest_hours=max(seconds[n] for n in own) / 3600,
                memory_gb=max(jobs[n].resources.get("mem_mb", 0) for n in own) / 1000,
                disk_gb=sum(_disk_mb(jobs[n], config, costs, table) for n in own) / 1000,
                basis=basis[rule],
            )
        )
    return Plan(tuple(stages), sum(stage.jobs for stage in stages), _longest_chain(jobs, seconds) / 3600)


def _longest_chain(jobs: Sequence[Job], seconds: Mapping[int, float]) -> float:
    """Seconds of the longest chain of jobs that wait for each other."""
    maker = {output: number for number, job in enumerate(jobs) for output in job.outputs}
    ends: dict[int, float] = {}
    waiting = list(range(len(jobs)))
    while waiting:
        number = waiting[-1]
        before = {maker[name] for name in jobs[number].inputs if name in maker} - {number}
        missing = [other for other in before if other not in ends]
        if number not in ends and missing:
            waiting += missing
            continue
        ends[number] = seconds[number] + max((ends[other] for other in before), default=0.0)
        waiting.pop()
    return max(ends.values(), default=0.0)


def _disk_mb(job: Job, config: Config, costs: Costs, table: ReleaseTable) -> float:
    if job.rule == "prepare_client":
        return store_mb(table, config, job.wildcards["setup"], job.wildcards["client"])
    cost = costs.table.rules.get(job.rule)
    return float(cost.disk_mb) if cost and not costs.demo else 0.0


_HEAD = ("stage", "jobs", "GPU h", "core h", "longest h", "memory GB", "disk GB", "hours from")


def report(title: str, plan: Plan, gpus: int) -> str:
    """The plan as plain text for a terminal."""
    if not plan.jobs:
        return f"{title}\n\nNothing is left to do: every job of this run has finished."
    rows: list[tuple[str, ...]] = [_HEAD]
    for stage in plan.stages:
        hours = (stage.gpu_hours, stage.cpu_hours, stage.longest_hours)
        figures = (*(_number(value) for value in hours), f"{stage.memory_gb:.1f}", _number(stage.disk_gb))
        rows.append((stage.rule, str(stage.jobs), *figures, stage.basis))
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = [title, ""]
    for row in rows:
        cells = [
            text.rjust(width) if 0 < column < len(row) - 1 else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    gpu, cpu = (sum(getattr(stage, key) for stage in plan.stages) for key in ("gpu_hours", "cpu_hours"))
    peak, disk = max((s.memory_gb for s in plan.stages), default=0), sum(s.disk_gb for s in plan.stages)
    lines += [
        "",
        f"{plan.jobs} jobs, {gpu:.1f} GPU hours, {cpu:.2g} core hours without a GPU, at most {peak:.1f} GB of memory, "
        f"{disk:.0f} GB of disk",
        f"longest chain of jobs: {plan.chain_hours:.2g} hours; with {gpus} GPUs at least "
        f"{max(plan.chain_hours, gpu / gpus):.2g} hours",
    ]
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:.1f}" if value >= 0.95 else f"{value:.2g}" if value >= 0.005 else ""
