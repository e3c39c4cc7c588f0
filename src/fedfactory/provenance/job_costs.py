"""What the jobs of a run took, by the records that they left."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from fedfactory.provenance.record import NAME, read_record


@dataclass(frozen=True)
class JobCost:
    """What one job took.

    Attributes:
        rule: its name.
        seconds: of wall time.
        cpu_seconds: of all its processes.
        peak_memory_mb: of all its processes.
        end: Unix time in seconds.
    """

    rule: str
    seconds: float
    cpu_seconds: float
    peak_memory_mb: float
    end: float


def by_job(records: Iterable[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """Records of one job together: it has one for each thing that it made."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for record in records:
        found.setdefault(record["log"], []).append(record)
    return list(found.values())


def records_by_job(run: Path) -> list[list[Mapping[str, Any]]]:
    """The records of each job of a run, ``results/<run>``, by start; of one job in the order in which it made things.

    Raises:
        FedFactoryError: one of them is no record.
    """
    records = sorted(map(read_record, run.rglob(f"*{NAME}")), key=lambda record: record["finished"])
    return sorted(by_job(records), key=lambda records: (records[0]["started"], records[0]["made"]))


def job_costs(run: Path) -> list[JobCost]:
    """What each job of a run took, by start."""
    return [_cost(records[-1]) for records in records_by_job(run)]


def by_rule(jobs: Iterable[JobCost]) -> dict[str, list[JobCost]]:
    """Jobs of each rule."""
    found: dict[str, list[JobCost]] = {}
    for job in jobs:
        found.setdefault(job.rule, []).append(job)
    return found


def _cost(record: Mapping[str, Any]) -> JobCost:
    return JobCost(
        # results/<run>/logs/<rule>/..., or <rule>.log.
        rule=PurePosixPath(record["log"]).parts[3].removesuffix(".log"),
        seconds=record["seconds"],
        cpu_seconds=record["cpu_seconds"],
        peak_memory_mb=record["peak_memory_mb"],
        end=datetime.fromisoformat(record["finished"]).timestamp(),
    )
