"""The record that a job leaves of each thing it made: command, machine, cost, versions, and digests of the files.

A record belongs to whoever ran the job, and lies in ``results/<run>/records`` under the name of what was made: a model
in ``mm/ct/ours/seed0/model`` has the record ``records/mm/ct/ours/seed0/model.json``. Nothing is hashed by another job
than the one that wrote it, so that no job needs another client's data to name them.
"""

import argparse
import hashlib
import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fedfactory.files import new_file, written
from fedfactory.paths import record_of
from fedfactory.provenance.energy import EnergyMeter

VERSION = 1
"""Of the form of a record."""

# What numbers may depend on; the lock pins the rest.
_PACKAGES = (
    *("torch", "numpy", "scipy", "nibabel", "scikit-image", "simpleitk", "pillow", "nnunetv2", "batchgeneratorsv2"),
    *("segment-anything", "open-clip-torch", "lpips", "ndf", "monai", "opacus", "fedbiomed", "statsmodels"),
    *("scikit-posthocs", "pandas", "matplotlib", "snakemake"),
)
_CHUNK = 1 << 20


class JobWatch:
    """Measures a job from its first line on, and writes its records when it is done.

    Args:
        arguments: the parsed command line; ``device`` and ``log`` are looked at where it has them.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._asked = getattr(arguments, "device", "cpu")
        self._log = arguments.log
        self._started = datetime.now(UTC)
        self._clock = time.monotonic()
        self._energy = EnergyMeter(gpu=self._asked != "cpu")

    def write_records(self, sources: Iterable[Path] = ()) -> None:
        """Write a record of every file and folder below ``results`` that this process has put in its place.

        Args:
            sources: files that the job read and no job made: raw data. Their number, size and joint digest are kept,
                not their names, which may say who somebody is.
        """
        made = _made()
        job = {**self._job(sources), "outputs": [path.as_posix() for path in made]} if made else {}
        for path in made:
            with new_file(Path(record_of(path))) as file:
                file.write_text(json.dumps({**job, "made": path.as_posix(), "files": digests(path)}, indent=1) + "\n")

    def _job(self, sources: Iterable[Path]) -> dict[str, Any]:
        gpu = _gpu() if self._asked != "cpu" else None
        seconds = time.monotonic() - self._clock
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return {
            "record": VERSION,
            "job": Path(sys.argv[0]).stem,
            "arguments": sys.argv[1:],
            # The workflow exports the files that it was configured with (rules/common.smk).
            "configuration": os.environ.get("FEDFACTORY_CONFIGURATION", "").split(", "),
            "log": str(self._log),
            "sources": _sources(sources),
            "started": _text(self._started),
            "finished": _text(datetime.now(UTC)),
            "seconds": round(seconds, 3),
            "cpu_seconds": round(sum(usage.ru_utime + usage.ru_stime for usage in usages), 3),
            # Of the largest process, which kilobytes are counted of.
            "peak_memory_mb": round(max(usage.ru_maxrss for usage in usages) / 1024, 1),
            "device": {"name": "cpu"} if gpu is None else {**gpu, "seconds": round(seconds, 3)},
            "energy_joules": self._energy.read(None if gpu is None else gpu["uuid"]),
            "machine": _machine(),
            "commit": _commit(),
            "python": platform.python_version(),
            "packages": _versions(),
        }


def digests(path: Path) -> dict[str, str]:
    """SHA-256 of a file, or of every file of a folder, by POSIX path from there (of the file itself: ``.``).

    Hidden files are left out: Snakemake and file systems put theirs into folders that a job made.
    """
    if path.is_file():
        return {".": file_digest(path)}
    files = {file.relative_to(path): file for file in sorted(path.rglob("*")) if file.is_file()}
    shown = {name: file for name, file in files.items() if not any(part.startswith(".") for part in name.parts)}
    return {name.as_posix(): file_digest(file) for name, file in shown.items()}


def file_digest(path: Path) -> str:
    """SHA-256 of one file as hexadecimal digits; a large one is not held in memory."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def joint_digest(files: Mapping[str, str]) -> str:
    """One SHA-256 for what :func:`digests` returned, which names no file of it."""
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _made() -> list[Path]:
    """What lies in its place below the results, each once; what lies in a folder of the list comes with that folder."""
    here = Path.cwd()
    paths = {Path(os.path.relpath(path, here)) for path in written() if path.exists()}
    # Hidden: folders on the way, checkpoints.
    paths = {path for path in paths if path.parts[0] == "results" and not any(part[0] == "." for part in path.parts)}
    return sorted(path for path in paths if not any(parent in paths for parent in path.parents))


def _sources(paths: Iterable[Path]) -> dict[str, Any] | None:
    files = sorted(set(paths))
    if not files:
        return None
    # By content: the same release at another place is the same.
    digest = joint_digest({str(number): digest for number, digest in enumerate(sorted(map(file_digest, files)))})
    return {"files": len(files), "bytes": sum(file.stat().st_size for file in files), "sha256": digest}


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _gpu() -> dict[str, Any] | None:
    """Name and peak memory of the GPU that this process used, or could have used; None without one."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    card = torch.cuda.get_device_properties(0)
    peak = torch.cuda.max_memory_allocated() / 2**20
    return {"name": card.name, "uuid": str(card.uuid), "cuda": torch.version.cuda, "peak_memory_mb": round(peak, 1)}


def _machine() -> dict[str, Any]:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "system": platform.platform(),
        "processor": models[0] if models else platform.machine(),
        "cores": len(models),
    }


def _commit() -> str | None:
    """The commit of the code, with ``-dirty`` if files differ from it; None outside a git checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
