"""From the records of jobs to the story of one result: every job that it rests on, from the raw data on."""

import csv
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from fedfactory.errors import FedFactoryError
from fedfactory.paths import record_of
from fedfactory.provenance.record import VERSION, joint_digest

_OWN = ("logs", "benchmarks", "records")


@dataclass(frozen=True)
class Run:
    """The folder of a run, here or where somebody published it; paths in records begin with ``results/<run>``.

    Attributes:
        folder: the folder, wherever it lies.
    """

    folder: Path

    def place(self, path: str) -> Path:
        """Where something lies that a record calls ``results/<run>/<name>``."""
        return self.folder.joinpath(*PurePosixPath(path).parts[2:])

    def record(self, path: str) -> dict[str, Any] | None:
        """The record of what is called so, or of the folder it lies in; None without one.

        Raises:
            FedFactoryError: the record cannot be read.
        """
        name = PurePosixPath(path)
        while len(name.parts) > 2:
            file = self.place(record_of(name))
            if file.is_file():
                return read_record(file)
            name = name.parent
        return None

    def records(self) -> Iterator[dict[str, Any]]:
        """All records, in the order of their names."""
        for file in sorted((self.folder / "records").rglob("*.json")):
            yield read_record(file)

    def cost(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """What Snakemake measured of a record's job: its benchmark; empty if it is gone."""
        # results/<run>/logs/<rule>/<parts>.log -> benchmarks/<rule>/<parts>.jsonl
        name = PurePosixPath(record["log"])
        file = self.folder.joinpath("benchmarks", *name.parts[3:]).with_suffix(".jsonl")
        lines = file.read_text().splitlines() if file.is_file() else []
        return json.loads(lines[-1]) if lines else {}

    def lineage(self, path: str) -> list[dict[str, Any]]:
        """Records of the job that made something and of all that it rests on, in the order in which they ran.

        Raises:
            FedFactoryError: nothing is recorded of it.
        """
        first = self.record(path)
        if first is None:
            raise FedFactoryError(
                f"{self.place(path)}: there is no record of it ({self.place(record_of(PurePosixPath(path)))}); it was "
                "made elsewhere, or before jobs left records: make it again with snakemake"
            )
        found: dict[str, dict[str, Any]] = {}
        waiting = [first]
        while waiting:
            record = waiting.pop()
            if record["made"] not in found:
                found[record["made"]] = record
                waiting += [other for name in inputs_of(record) if (other := self.record(name))]
        return sorted(found.values(), key=lambda record: (record["started"], record["made"]))


def read_record(file: Path) -> dict[str, Any]:
    """Read one record.

    Raises:
        FedFactoryError: it is no record of this form.
    """
    try:
        record = json.loads(file.read_text())
        if record["record"] == VERSION and {"made", "files", "outputs", "arguments", "log"} <= record.keys():
            return record
        reason = f"form {record['record']} instead of {VERSION}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
    raise FedFactoryError(f"{file}: is no record of a job ({reason}); make what it is about again, or remove it")


def inputs_of(record: Mapping[str, Any]) -> list[str]:
    """What a job was given from the results, as its command line names it, also in JSON; its own products left out."""
    run = PurePosixPath(record["made"]).parts[:2]
    names = []
    for text in _texts(record["arguments"]):
        path = PurePosixPath(text)
        if path.parts[:2] == run and len(path.parts) > 2 and path.parts[2] not in _OWN:
            names.append(str(path))
    # A job may be told the folder of what it makes.
    own = [PurePosixPath(name) for name in record["outputs"]]
    return sorted(name for name in set(names) if not any(made.is_relative_to(name) for made in own))


def story_of(run: Run, scores: str) -> dict[str, Any]:
    """Everything that ``cell.json`` says of the cell with these scores; see docs/provenance.md.

    Args:
        run: the run.
        scores: ``results/<run>/<setup>/<target>/<method>/seed<n>/scores.csv``.

    Raises:
        FedFactoryError: nothing is recorded of it.
    """
    records = run.lineage(scores)
    cell = PurePosixPath(scores).parent
    jobs = _jobs(run, records)
    own = [job for job in jobs if any(PurePosixPath(name).is_relative_to(cell) for name in job["outputs"])]
    weights = run.place(str(cell / "weights.json"))
    commands = sorted([job["job"], *job["arguments"]] for job in jobs)
    setup, target, method, seed = cell.parts[2:]
    return {
        "cell": {"setup": setup, "target": target, "method": method, "seed": int(seed.removeprefix("seed"))},
        "command": " ".join(["snakemake --cores 1 --configfile", *records[-1]["configuration"], "--", scores]),
        "commits": _distinct(record["commit"] for record in records),
        "code": {job["job"]: job["code"] for job in jobs},
        # All that the jobs were told: the part of the configuration that this cell depends on.
        "configuration": hashlib.sha256(json.dumps(commands).encode()).hexdigest(),
        "weights": json.loads(weights.read_text()) if weights.is_file() else None,
        "python": _distinct(record["python"] for record in records),
        "packages": _distinct(record["packages"] for record in records),
        "machines": _distinct(record["machine"] for record in records),
        "cost": {"own": _total(own), "with_shared": _total(jobs)},
        "jobs": jobs,
    }


def _jobs(run: Run, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry for each job; a job has a record for each thing that it made."""
    by_log: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        by_log.setdefault(record["log"], []).append(record)
    digests = {record["made"]: joint_digest(record["files"]) for record in records}
    jobs = []
    for log, parts in by_log.items():
        record, cost = parts[-1], run.cost(parts[-1])
        inputs = {name: digests.get(name) or _digest_inside(run, name) for name in inputs_of(record)}
        jobs.append(
            {
                "job": record["job"],
                "arguments": record["arguments"],
                "log": log,
                "code": cost.get("params", {}).get("code"),
                "commit": record["commit"],
                "started": record["started"],
                "finished": record["finished"],
                "seconds": cost.get("s", record["seconds"]),
                "cpu_seconds": cost.get("cpu_time") or record["cpu_seconds"],
                # Snakemake sums processes, but looks now and then: it misses most of a short job.
                "peak_memory_mb": max(cost.get("max_rss") or 0, record["peak_memory_mb"]),
                "device": record["device"],
                "energy_joules": record["energy_joules"],
                "sources": record["sources"],
                "inputs": inputs,
                "outputs": {part["made"]: digests[part["made"]] for part in parts},
                "bytes_exchanged": sum(_exchanged(run, part) for part in parts),
            }
        )
    return jobs


def _digest_inside(run: Run, name: str) -> str | None:
    """Digest of a part of something recorded; None for what no job of this run made: it came from elsewhere."""
    record = run.record(name)
    if record is None:
        return None
    inside = str(PurePosixPath(name).relative_to(record["made"]))
    return record["files"].get(inside)


def _exchanged(run: Run, record: Mapping[str, Any]) -> int:
    """Bytes that crossed the border of a site in a federation, both ways, by the ledgers of its sites."""
    ledgers = [name for name in record["files"] if PurePosixPath(name).match("sites/*/ledger.csv")]
    total = 0
    for name in ledgers:
        file = run.place(record["made"]) / name
        with file.open(newline="") as stream:
            total += sum(int(row["bytes"]) for row in csv.DictReader(stream))
    return total


def _total(jobs: list[dict[str, Any]]) -> dict[str, Any]:
    """Sums over jobs (peak: maximum); energy is None where one of them has none."""
    energies = {
        kind: [job["energy_joules"][kind] for job in jobs if kind == "processor" or job["device"]["name"] != "cpu"]
        for kind in ("processor", "gpu")
    }
    return {
        "jobs": len(jobs),
        "seconds": round(sum(job["seconds"] for job in jobs), 1),
        "cpu_seconds": round(sum(job["cpu_seconds"] for job in jobs), 1),
        "bytes_exchanged": sum(job["bytes_exchanged"] for job in jobs),
        "gpu_seconds": round(sum(job["device"].get("seconds", 0) for job in jobs), 1),
        "peak_memory_mb": max((job["peak_memory_mb"] for job in jobs), default=0),
        "energy_joules": {
            kind: None if not values or None in values else round(sum(values), 1) for kind, values in energies.items()
        },
    }


def _texts(value: Any) -> Iterator[str]:
    """Every text in arguments, those inside of JSON included."""
    if isinstance(value, str):
        if value[:1] in ("{", "["):
            try:
                yield from _texts(json.loads(value))
            except ValueError:
                return
        else:
            yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def _distinct(values: Iterator[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found
