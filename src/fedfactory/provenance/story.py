"""The story of a cell: every job that its scores rest on, from the raw data on, with digests and costs."""

import hashlib
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from fedfactory.errors import FedFactoryError
from fedfactory.provenance.job_costs import by_job
from fedfactory.provenance.record import name_below_results
from fedfactory.storage.files import new_file, parse_json

NOT_MEASURED = "not measured"
"""For people, where a machine has no counter."""
_COMMON = ("python", "packages", "machine", "kernels", "options", "record")


def write_story(records: Mapping[str, Mapping[str, Any]], scores: Path, out: Path) -> None:
    """Write ``cell.json`` of the cell with these scores; nothing below ``results`` was made, nothing is written."""
    if (record := records.get(name_below_results(scores) or "")) is not None:
        with new_file(out) as file:
            file.write_text(json.dumps(story_of(record), indent=1) + "\n")


def story_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that ``cell.json`` says; see docs/provenance.md.

    Args:
        record: of ``results/<run>/<setup>/<target>/<method>/seed<n>/scores.csv``.
    """
    scores = PurePosixPath(record["made"])
    setup, target, method, seed = scores.parent.parts[-4:]
    own = {key: value for key, value in record.items() if key not in ("files", "behind")}
    entries = [*record["behind"], own]
    jobs = _jobs(entries)
    return {
        "cell": {"setup": setup, "target": target, "method": method, "seed": int(seed.removeprefix("seed"))},
        "command": shlex.join(["snakemake", "--cores", "1", *record["options"], "--", str(scores)]),
        "commits": _distinct(entry["commit"] for entry in entries),
        # All that the jobs were told: the part of the configuration that this cell depends on.
        "configuration": hashlib.sha256(
            json.dumps(sorted([job["job"], *job["arguments"]] for job in jobs)).encode()
        ).hexdigest(),
        "python": _distinct(entry["python"] for entry in entries),
        "packages": _distinct(entry["packages"] for entry in entries),
        "machines": _distinct(entry["machine"] for entry in entries),
        "kernels": (kernels := _distinct(entry["kernels"] for entry in entries)),
        # Whether every job gives the same bytes on every x86-64 processor.
        "portable": all(entry["portable"] for entry in kernels),
        "cost": {
            "own": _total([job for job in jobs if any(_in(name, scores.parent) for name in job["outputs"])]),
            "with_shared": _total(jobs),
        },
        "jobs": jobs,
    }


def read_story(scores: Path) -> dict[str, Any]:
    """Read the ``cell.json`` beside a cell's scores, or that file itself.

    Raises:
        FedFactoryError: it is not there, or no such story.
    """
    file = scores.parent / "cell.json"
    if not file.is_file():
        raise FedFactoryError(f"{file} is missing; make it with: snakemake --cores 1 {file}")
    try:
        story = parse_json(file.read_text())
        story["cell"]["seed"], story["command"], story["cost"]["own"]["jobs"], story["portable"], story["machines"][0]
        for job in story["jobs"]:
            job["job"], dict(job["outputs"]), dict(job["inputs"]), list(job["arguments"]), float(job["seconds"])
        [kernels["portable"] for kernels in story["kernels"]]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise FedFactoryError(f"{file}: is no story of a cell ({error}); remove it and make it again") from error
    return story


def below_run(name: str) -> str:
    """``results/<run>/...`` without the folder of its run."""
    return str(PurePosixPath(*PurePosixPath(name).parts[2:]))


def _jobs(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One entry for each job."""
    return [
        {
            # What a job made last was recorded when it was done.
            **{key: value for key, value in parts[-1].items() if key not in (*_COMMON, "made", "sha256")},
            "bytes_exchanged": sum(part["bytes_exchanged"] for part in parts),
            "outputs": {part["made"]: part["sha256"] for part in parts},
        }
        for parts in by_job(entries)
    ]


def _total(jobs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sums over jobs (peak: maximum); energy is None where one of them has none."""
    energies = {
        kind: [job["energy_joules"][kind] for job in jobs if kind == "processor" or job["device"]["name"] != "cpu"]
        for kind in ("processor", "gpu")
    }
    return {
        "jobs": len(jobs),
        "seconds": round(sum(job["seconds"] for job in jobs), 1),
        "cpu_seconds": round(sum(job["cpu_seconds"] for job in jobs), 1),
        "gpu_seconds": round(sum(job["device"].get("seconds", 0) for job in jobs), 1),
        "bytes_exchanged": sum(job["bytes_exchanged"] for job in jobs),
        "peak_memory_mb": max((job["peak_memory_mb"] for job in jobs), default=0),
        "energy_joules": {
            kind: None if not values or None in values else round(sum(values), 1) for kind, values in energies.items()
        },
    }


def _in(name: str, folder: PurePosixPath) -> bool:
    return PurePosixPath(name).is_relative_to(folder)


def _distinct(values: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found
