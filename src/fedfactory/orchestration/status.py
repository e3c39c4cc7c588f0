"""What of a run is done, what is being made now, and what failed: from its records, locks and logs."""

from __future__ import annotations

import fcntl
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedfactory.errors import FedFactoryError
from fedfactory.provenance.record import NAME, read_record
from fedfactory.storage.files import files_below

_LOCK = ".lock"
# As the logs of jobs have it.
_LINE = re.compile(r"[\d-]+ [\d:,]+ (?P<level>[A-Z]+) \S+ (?P<text>.*)")


@dataclass(frozen=True)
class Status:
    """Of a run.

    Attributes:
        done: rule -> number of jobs whose results are there.
        running: what is made now -> who makes it.
        failed: log of a job whose last attempt ended with an error -> that error.
    """

    done: Counter[str]
    running: dict[str, str]
    failed: dict[str, str]


def status(folder: Path) -> Status:
    """Look at a run's folder, ``results/<run>``.

    Raises:
        FedFactoryError: there is none, or a record cannot be read.
    """
    if not folder.is_dir():
        raise FedFactoryError(f"{folder}: is no folder of a run; give results/<run>")
    files = list(files_below(folder))
    records = [read_record(file) for file in files if file.name.endswith(NAME)]
    running = {}
    for file in files:
        if file.name.endswith(_LOCK) and (who := _holder(file)) is not None:
            running[str(file.with_name(file.name[1 : -len(_LOCK)]).relative_to(folder))] = who
    logs = [file for file in sorted(files) if file.suffix == ".log" and "logs" in file.relative_to(folder).parts]
    failed = {str(file.relative_to(folder)): error for file in logs if (error := _error(file))}
    # A job that makes several files leaves a record of each.
    jobs = {str(record["log"]): _rule(record) for record in records}
    return Status(Counter(jobs.values()), running, failed)


def report(folder: Path, found: Status) -> str:
    """The same for people."""
    lines = [f"{folder}: {found.done.total()} jobs are done"]
    lines += [f"  {count:5} {rule}" for rule, count in sorted(found.done.items())]
    lines.append(f"{len(found.running)} are made now" if found.running else "nothing is made now")
    lines += [f"  {what} ({who})" for what, who in sorted(found.running.items())]
    if found.failed:
        lines.append(f"{len(found.failed)} failed at their last attempt")
        lines += [f"  {log}: {error}" for log, error in found.failed.items()]
    return "\n".join([*lines, "What is left, and how long it takes: fedfactory plan --configfile ..."])


def _rule(record: Mapping[str, Any]) -> str:
    """The rule of a job: logs lie in a folder for each."""
    _, _, place = str(record["log"]).rpartition("/logs/")
    return place.partition("/")[0] or str(record["job"])


def _holder(mark: Path) -> str | None:
    """Who holds a lock; None for one that a killed job has left."""
    try:
        with mark.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read().strip() or "another process"
    except FileNotFoundError:
        # Its job has ended meanwhile.
        pass
    return None


def _error(log: Path) -> str:
    """The sentence with which a job ended; empty if it did not end with an error."""
    found = [match for line in log.read_text(errors="replace").splitlines() if (match := _LINE.match(line))]
    return found[-1]["text"] if found and found[-1]["level"] == "ERROR" else ""
