"""What jobs take: as they took in a run, as in the demo, or as config/costs.yaml says for paper scale."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Annotated, Literal

from pydantic import Field

from fedfactory.config.parameters import STRICT, Count, Natural, Positive, read
from fedfactory.config.run import Config, read_yaml
from fedfactory.errors import FedFactoryError
from fedfactory.orchestration import declared
from fedfactory.orchestration.audit import Job
from fedfactory.provenance.job_costs import by_rule, job_costs
from fedfactory.storage.files import inside
from fedfactory.storage.tables import read_rows

FILE = "config/costs.yaml"
DEMO = "docs/benchmarks/run_cost.csv"
"""What the demo's jobs took, rule by rule."""
_DEMO_SIZE = 128


@dataclass(frozen=True)
class Measured:
    """Where the seconds of a step stand.

    Attributes:
        file: a benchmark's table, CSV with the columns ``step`` and ``s``.
        rows: steps whose mean is taken.
        of: what it is divided by.
    """

    __pydantic_config__ = STRICT
    file: str
    rows: Annotated[tuple[str, ...], Field(min_length=1)]
    of: Count


@dataclass(frozen=True)
class Cost:
    """What the jobs of a rule take.

    Attributes:
        unit: ``job``, or ``step`` of its training.
        measured: where the seconds of a unit were measured, or None.
        assumed: the seconds of a unit where they were not.
        because: what the assumption rests on.
        disk_mb: what a job leaves.
    """

    __pydantic_config__ = STRICT
    unit: Literal["job", "step"]
    measured: Measured | None = None
    assumed: Positive | None = None
    because: str = ""
    disk_mb: Natural = 0


@dataclass(frozen=True)
class CostTable:
    """All of ``config/costs.yaml``.

    Attributes:
        card: the GPU of the measurements.
        rules: by rule.
    """

    __pydantic_config__ = STRICT
    card: str
    rules: dict[str, Cost]


@dataclass(frozen=True)
class Costs:
    """Seconds of jobs, and where they come from.

    Attributes:
        table: of ``config/costs.yaml``.
        seconds: rule -> seconds of a unit, by that table.
        finished: rule -> mean seconds of its finished jobs.
        demo: rule -> mean seconds of the demo's jobs, for runs of its size; empty for others.
        run: folder of the run that has them; None without one.
        config: the run that is planned.
        project: folder of the Snakefile.
    """

    table: CostTable
    seconds: Mapping[str, float]
    finished: Mapping[str, float]
    demo: Mapping[str, float]
    run: Path | None
    config: Config
    project: Path

    @classmethod
    def read(cls, project: Path, run: Path | None, config: Config) -> Costs:
        """Read the table, the benchmarks that it names, and what the jobs of a run took.

        Args:
            project: folder of the Snakefile.
            run: a run's folder; None for none.
            config: see the attribute.

        Raises:
            FedFactoryError: a bad table, or a benchmark that lacks a row.
        """
        try:
            table = read(CostTable, read_yaml(project / FILE, FILE), "costs")
            seconds = {rule: _seconds(project, rule, cost) for rule, cost in table.rules.items()}
        except FedFactoryError as error:
            raise FedFactoryError(f"{FILE}: {error}") from None
        finished = _finished(run) if run is not None else {}
        small = config.device != "cuda" and config.preprocessing["image_size"] <= _DEMO_SIZE
        demo = _of_demo(project / DEMO) if small else {}
        return cls(table, seconds, finished, demo, run if finished else None, config, project)

    def of(self, job: Job) -> tuple[float, str]:
        """Seconds of a job, and in words where they come from."""
        if job.rule in self.finished:
            return self.finished[job.rule], f"mean of the finished jobs in {self.run}"
        if job.rule in self.demo:
            return self.demo[job.rule], f"as in the demo, {DEMO}"
        cost = self.table.rules.get(job.rule)
        if cost is None or self.demo:
            return _SHORT, "a short job"
        units = steps(job, self.config, self.project) if cost.unit == "step" else 1
        if cost.measured:
            return units * self.seconds[job.rule], f"{cost.measured.file}, {self.table.card}"
        return units * self.seconds[job.rule], f"assumed: {cost.because}"


# Pictures, tables, scores.
_SHORT = 10.0


def steps(job: Job, config: Config, project: Path) -> int:
    """Optimiser steps of a training job, as its rule declares them; all clients of a federation together.

    Args:
        job: of a rule that declares steps.
        config: the run.
        project: folder of the Snakefile.
    """
    parameters = declared.owner(job.rule).parameters_of(config, project, job.wildcards)
    count = declared.rule(job.rule).steps
    assert count is not None, f"the rule {job.rule} declares no steps"
    return count(parameters, len(job.private_of(config.run)))


def _seconds(project: Path, rule: str, cost: Cost) -> float:
    if (cost.measured is None) == (cost.assumed is None) or (cost.assumed and not cost.because):
        raise FedFactoryError(f"key 'rules.{rule}': needs either 'measured', or 'assumed' with 'because'")
    if cost.unit == "step" and declared.rule(rule).steps is None:
        known = ", ".join(name for name, found in declared.rules().items() if found.steps)
        raise FedFactoryError(f"key 'rules.{rule}.unit': this rule has no steps; known are {known}")
    if cost.assumed is not None:
        return cost.assumed
    assert cost.measured is not None, "one of both is given"
    path = inside(project, cost.measured.file, f"key 'rules.{rule}.measured.file'")
    try:
        with path.open(newline="") as file:
            rows = {row["step"]: float(row["s"]) for row in reversed(list(csv.DictReader(file)))}
        return mean(rows[name] for name in cost.measured.rows) / cost.measured.of
    except (OSError, KeyError, ValueError) as error:
        raise FedFactoryError(f"key 'rules.{rule}.measured': {path} has no such figure ({error})") from error


def _of_demo(file: Path) -> dict[str, float]:
    """Mean wall seconds of the demo's jobs, by rule."""
    return {row["rule"]: float(row["wall s"]) / int(row["jobs"]) for row in read_rows(file) if row["rule"] != "all"}


def _finished(run: Path) -> dict[str, float]:
    """Mean wall seconds of the finished jobs of a run, by rule."""
    return {rule: mean(job.seconds for job in jobs) for rule, jobs in by_rule(job_costs(run)).items()}
