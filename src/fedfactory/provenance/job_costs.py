"""What the jobs of a run took, by the records that they left."""

from collections.abc import Mapping
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


def records_by_job(run: Path) -> list[list[dict[str, Any]]]:
    """The records of each job of a run, ``results/<run>``, by start; of one job in the order in which it made things.

    Raises:
        FedFactoryError: one of them is no record.
    """
    by_log: dict[str, list[dict[str, Any]]] = {}
    for record in sorted(map(read_record, run.rglob(f"*{NAME}")), key=lambda record: record["finished"]):
        by_log.setdefault(record["log"], []).append(record)
    return sorted(by_log.values(), key=lambda records: (records[0]["started"], records[0]["made"]))


def job_costs(run: Path) -> list[JobCost]:
    """What each job of a run took, by start."""
    return [_cost(records[-1]) for records in records_by_job(run)]


def rule_of(record: Mapping[str, Any]) -> str:
    """The rule of the job that left a record."""
    # results/<run>/logs/<rule>/..., or <rule>.log.
    return PurePosixPath(record["log"]).parts[3].removesuffix(".log")


def _cost(record: Mapping[str, Any]) -> JobCost:
    return JobCost(
        rule=rule_of(record),
        seconds=record["seconds"],
        cpu_seconds=record["cpu_seconds"],
        peak_memory_mb=record["peak_memory_mb"],
        end=datetime.fromisoformat(record["finished"]).timestamp(),
    )
