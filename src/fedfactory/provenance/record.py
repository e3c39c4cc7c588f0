"""The record that a job leaves of each thing it made: command, machine, cost, digests, and what lies behind it.

A record lies with what it is about, hidden: in a folder as ``.record.json``, beside a file as ``.<name>.record.json``.
So it goes wherever the folder goes, to another node or another hospital, and stays private where the folder is. It
holds a summary of every record behind it: the story of a result needs no file but its own. A job hashes what it is
given before it reads it, and refuses what is not as its own job wrote it.
"""

import argparse
import csv
import hashlib
import importlib.metadata
import json
import multiprocessing
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path, PurePosixPath
from types import NoneType
from typing import Any, Self

import psutil

from fedfactory.errors import FedFactoryError
from fedfactory.orchestration.code_digest import PlannedCode
from fedfactory.orchestration.portable import CPU_DEVICES, SETTINGS, is_portable
from fedfactory.provenance.energy import EnergyMeter
from fedfactory.provenance.memory import MemoryMeter
from fedfactory.storage.files import files_below, parse_json, sealing

VERSION = 2
"""Of the form of a record."""
NAME = ".record.json"
"""Of the record inside a folder; beside a file, its end."""

# What numbers may depend on; the lock pins the rest.
_PACKAGES = (
    *("torch", "numpy", "scipy", "nibabel", "scikit-image", "simpleitk", "pillow", "nnunetv2", "batchgeneratorsv2"),
    *("segment-anything", "open-clip-torch", "lpips", "ndf", "monai", "fedbiomed", "statsmodels"),
    *("pandas", "matplotlib", "snakemake"),
)
# What every entry of a record has, of itself and of what lies behind.
_FORM: Mapping[str, Any] = {
    **dict.fromkeys(("made", "sha256", "job", "code", "started", "finished", "python"), str),
    # None where the project is no repository.
    "commit": (str, NoneType),
    **dict.fromkeys(("seconds", "cpu_seconds", "peak_memory_mb", "bytes_exchanged"), (int, float)),
    **dict.fromkeys(("inputs", "device", "energy_joules", "machine", "kernels", "packages"), dict),
    **dict.fromkeys(("arguments", "options"), list),
}
ASIDE = ("logs", "benchmarks")
"""Folders of a run that say when and at what cost its results were made, and are none; runs of before have both."""
_RESULTS = "results"
# Parts of a name such as results/<run>/<setup>/<client>/data.
_OF_CLIENT = 5
# Where Snakemake's storage plugins put copies of what lies in a store.
_LOCAL_COPIES = ".snakemake/storage/"
_watches: list["JobWatch"] = []


class JobWatch:
    """Measures a job from its first line on, and leaves the records of what it makes.

    Args:
        arguments: the parsed command line; ``device`` and ``log`` are looked at where it has them.
        check: called before anything is put in its place; raises if that must not be.
    """

    def __init__(self, arguments: argparse.Namespace, check: Callable[[], None]) -> None:
        self._check = check
        self._may_use_gpu = getattr(arguments, "device", "cpu") not in CPU_DEVICES
        self._log = as_named(str(arguments.log))
        self._started = datetime.now(UTC)
        self._clock = time.monotonic()
        self._energy, self._memory = EnergyMeter(gpu=self._may_use_gpu), MemoryMeter()
        # Now: hours later files may be others.
        self._commit = commit()
        # None where no script of its own is run.
        self._code = PlannedCode.read(Path(sys.argv[0]), arguments.code).digest if arguments.code else None
        # What lies where the job will put its own is no input.
        made = getattr(arguments, "out", None)
        self._inputs, self._behind = _read_inputs(sys.argv[1:], made and name_below_results(made))
        self._sources: dict[str, Any] | None = None
        self.records: dict[str, dict[str, Any]] = {}
        """What the job has put in its place -> its record."""

    @classmethod
    @contextmanager
    def over(cls, arguments: argparse.Namespace, check: Callable[[], None]) -> Iterator[Self]:
        """Watch a job while the block runs."""
        watch = cls(arguments, check)
        _watches.append(watch)
        try:
            with sealing(watch.seal):
                yield watch
        finally:
            _watches.remove(watch)

    def read_from_outside(self, paths: Iterable[Path]) -> None:
        """Note raw files that the job reads; before it makes anything of them."""
        self._sources = about_sources(paths)

    def seal(self, what: Path, place: Path) -> None:
        """Record what is about to be put in its place: called by :mod:`fedfactory.storage.files`.

        Only what the command line names is recorded, and only below ``results``.
        """
        self._check()
        name = name_below_results(place)
        if name is None or not _is_named(name, sys.argv[1:]):
            return
        folder, files = what.is_dir(), digests(what)
        # What lay there before, made by an earlier run of the same job, is no input.
        behind = [entry for entry in self._behind if entry["made"] != name]
        record = {**self._summary(name, files, what if folder else None), "files": files, "behind": behind}
        self.records[name] = record
        file = what / NAME if folder else place.with_name(f".{place.name}{NAME}")
        file.write_text(json.dumps(record, indent=1) + "\n")

    def _summary(self, name: str, files: Mapping[str, str], folder: Path | None) -> dict[str, Any]:
        gpu = _gpu() if self._may_use_gpu else None
        seconds = time.monotonic() - self._clock
        return {
            "record": VERSION,
            "made": name,
            "sha256": joint_digest(files),
            "job": Path(sys.argv[0]).stem,
            "arguments": [as_named(text) for text in sys.argv[1:]],
            "code": self._code,
            "commit": self._commit,
            # The workflow exports how it was configured (rules/common.smk).
            "options": parse_json(os.environ.get("FEDFACTORY_OPTIONS", "[]")),
            "log": self._log,
            "inputs": {given: digest for given, digest in self._inputs.items() if given != name},
            "sources": self._sources,
            "started": _text(self._started),
            "finished": _text(datetime.now(UTC)),
            "seconds": round(seconds, 3),
            "cpu_seconds": round(cpu_seconds(), 3),
            "peak_memory_mb": round(self._memory.read(), 1),
            "device": {"name": "cpu"} if gpu is None else {**gpu, "seconds": round(seconds, 3)},
            "energy_joules": self._energy.read(None if gpu is None else gpu["uuid"]),
            "bytes_exchanged": 0 if folder is None else _exchanged(folder),
            "machine": machine(),
            "kernels": kernels(gpu is not None),
            "python": platform.python_version(),
            "packages": _versions(),
        }


def read_from_outside(paths: Iterable[Path]) -> None:
    """Note raw files that this job reads, if it is watched: number, bytes and one digest of them all."""
    for watch in _watches:
        watch.read_from_outside(paths)


def digests(path: Path) -> dict[str, str]:
    """SHA-256 of a file, or of every file of a folder, by POSIX path from there (of the file itself: ``.``).

    Hidden files are left out: Snakemake and file systems put theirs into folders that a job made.
    """
    if path.is_file():
        return {".": file_digest(path)}
    files = {file.relative_to(path): file for file in files_below(path)}
    shown = {name: file for name, file in files.items() if not any(part.startswith(".") for part in name.parts)}
    return {name.as_posix(): file_digest(file) for name, file in shown.items()}


def digests_apart(path: Path) -> dict[str, str]:
    """:func:`digests` in a process of its own, which ends with it."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as own:
        return own.submit(digests, path).result()


def results_of(run: Path, *, records: bool = False) -> Iterator[Path]:
    """All results below a run's folder, without logs and what Snakemake or a running job hides.

    Args:
        run: the folder.
        records: whether the hidden records of the results are among them.
    """
    for file in files_below(run):
        *above, name = file.relative_to(run).parts
        shown = not name.startswith(".") or (records and name.endswith(NAME))
        hidden = not shown or any(part.startswith(".") for part in above)
        if not hidden and (not above or above[0] not in ASIDE):
            yield file


def change(before: str | None, now: str | None) -> str:
    """What became of a file, by its digests before and now (None: it was, or is, not there); empty for nothing."""
    if before == now:
        return ""
    if before is None:
        return "was added"
    return "is gone" if now is None else "was changed"


def file_digest(path: Path) -> str:
    """SHA-256 of one file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def joint_digest(files: Mapping[str, str]) -> str:
    """One SHA-256 for what :func:`digests` returned, which names no file of it; of one file its own."""
    if list(files) == ["."]:
        return files["."]
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def about_sources(paths: Iterable[Path]) -> dict[str, Any] | None:
    """Number, bytes and one digest of raw files; their names may say who somebody is, and are not kept."""
    files = sorted(set(paths))
    if not files:
        return None
    # By content: the same release at another place is the same.
    digest = joint_digest({str(number): digest for number, digest in enumerate(sorted(map(file_digest, files)))})
    return {"files": len(files), "bytes": sum(file.stat().st_size for file in files), "sha256": digest}


def record_of(path: Path) -> Path | None:
    """The record of a file or folder, or of the folder it lies in; None without one."""
    for place in (path, *path.parents):
        for file in (place / NAME, place.with_name(f".{place.name}{NAME}")) if place.name else ():
            if file.is_file():
                return file
    return None


def read_record(file: Path) -> dict[str, Any]:
    """Read one record.

    Raises:
        FedFactoryError: it is no record of this form.
    """
    try:
        record = parse_json(file.read_text())
        if record["record"] == VERSION:
            reason = _lacks(record)
            if not reason:
                return record
        else:
            reason = f"form {record['record']} instead of {VERSION}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
    raise FedFactoryError(f"{file}: is no record of a job ({reason}); make what it is about again, or remove it")


def _lacks(record: Mapping[str, Any]) -> str:
    """What a record lacks or has in another form; empty if nothing."""
    if not isinstance(record.get("files"), dict) or not isinstance(record.get("behind"), list):
        return "'files' or 'behind' is of another form"
    for entry in (record, *record["behind"]):
        for name, kind in _FORM.items():
            if not isinstance(entry.get(name), kind):
                return f"'{name}' is of another form"
        texts = (*entry["inputs"].items(), *entry["arguments"])
        if not all(isinstance(text, str) for item in texts for text in ([item] if isinstance(item, str) else item)):
            return "'inputs' and 'arguments' are not of texts"
    return ""


def _read_inputs(arguments: list[str], made: str | None) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """What the job is given from the results, and all that lies behind it.

    Args:
        arguments: of the command line.
        made: what the job will make.

    Returns:
        name -> digest of what lies there now; and the summary of every record behind them, oldest first.

    Raises:
        FedFactoryError: something is not what its record says.
    """
    found: dict[str, Any] = {}
    behind: dict[str, Any] = {}
    paths = {name: Path(text) for text in _texts_of(arguments) if (name := name_below_results(Path(text)))}
    paths.pop(made or "", None)
    # Of a federation: this process will be its server, which opens no client's data.
    stores = {name for name, path in paths.items() if len(PurePosixPath(name).parts) == _OF_CLIENT and path.is_dir()}
    apart = stores if len(stores) > 1 else set()
    for name, path in sorted(paths.items()):
        file = record_of(path) if path.exists() else None
        if file is not None:
            record = read_record(file)
            own = {key: value for key, value in record.items() if key not in ("files", "behind")}
            behind |= {entry["made"]: entry for entry in (*record["behind"], own)}
            inside = PurePosixPath(name).relative_to(record["made"]).as_posix()
            found[name] = _as_recorded(path, inside, record["files"], digests_apart if name in apart else digests)
        elif path.is_file():
            found[name] = file_digest(path)
    return found, sorted(behind.values(), key=lambda entry: (entry["started"], entry["made"]))


def _as_recorded(path: Path, inside: str, files: Mapping[str, str], look: Callable[[Path], Mapping[str, str]]) -> str:
    """Digest of a file or folder, which must be as the record of what it lies in says.

    Args:
        path: where it lies.
        inside: its name below what the record is about; ``.`` for the whole.
        files: digest of each file there, as recorded.
        look: :func:`digests`, or the same in another process.
    """
    if inside != "." and inside in files:
        expected = {".": files[inside]}
    else:
        prefix = "" if inside == "." else f"{inside}/"
        expected = {name.removeprefix(prefix): sha256 for name, sha256 in files.items() if name.startswith(prefix)}
    found = look(path)
    for name in sorted(found.keys() | expected.keys()):
        if what := change(expected.get(name), found.get(name)):
            raise FedFactoryError(
                f"{path / name}: {what} since its job wrote it, and is not read; remove {path}, and the workflow makes "
                "it again"
            )
    return joint_digest(found)


def _texts_of(value: Any) -> Iterator[str]:
    """Every text in arguments, those inside of JSON included."""
    if isinstance(value, str):
        if value[:1] in ("{", "["):
            try:
                yield from _texts_of(parse_json(value))
            except ValueError:
                return
        else:
            yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts_of(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts_of(item)


def as_named(text: str) -> str:
    """An argument as the workflow names it: of ``results/...`` a storage plugin hands the path of a local copy."""
    if text.startswith(_LOCAL_COPIES) and f"/{_RESULTS}/" in text:
        return f"{_RESULTS}/{text.rpartition(f'/{_RESULTS}/')[2]}"
    return text


def name_below_results(path: Path) -> str | None:
    """``results/<run>/...`` as the workflow names it; None for what lies elsewhere, is hidden, or is a log."""
    name = PurePosixPath(as_named(os.path.relpath(path, Path.cwd()) if path.is_absolute() else path.as_posix()))
    if len(name.parts) < 3 or name.parts[0] != _RESULTS or name.parts[2] in ASIDE or ".." in name.parts:
        return None
    return None if any(part.startswith(".") for part in name.parts) else str(name)


def _is_named(name: str, arguments: list[str]) -> bool:
    """Whether a command line names something, the folder it lies in, or itself with another ending."""
    path = PurePosixPath(name)
    for text in _texts_of(arguments):
        given = PurePosixPath(as_named(text))
        if given in (path, path.parent) or (given.suffix and given.with_suffix("") == path.with_suffix("")):
            return True
    return False


def cpu_seconds() -> float:
    """CPU seconds of this process and of all that it started, those that still run included.

    The clients of a simulated federation are forked, and waited for, by a server that runs as long as its job: the
    kernel adds their time to this process only when that server ends.
    """
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    used = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    for process in psutil.Process().children(recursive=True):
        # It may end meanwhile.
        with suppress(psutil.Error):
            # Its own, and that of its children that have ended.
            used += sum(process.cpu_times()[:4])
    return used


def _exchanged(folder: Path) -> int:
    """Bytes that crossed the border of a site in a federation, both ways, by the ledgers of its sites."""
    total = 0
    for file in folder.glob("sites/*/ledger.csv"):
        with file.open(newline="") as stream:
            total += sum(int(row["bytes"]) for row in csv.DictReader(stream))
    return total


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _gpu() -> dict[str, Any] | None:
    """Name and peak memory of the GPU that this process used, or could have used; None without one."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    card = torch.cuda.get_device_properties(0)
    # Nothing was allocated here where processes of a federation do the work: that is not measured.
    peak = torch.cuda.max_memory_allocated() / 2**20 or None
    return {
        **{"name": card.name, "uuid": str(card.uuid), "cuda": torch.version.cuda},
        "peak_memory_mb": None if peak is None else round(peak, 1),
    }


def kernels(gpu: bool) -> dict[str, Any]:
    """Which kernels computed the numbers of this process, and whether any x86-64 processor would give the same bits.

    Args:
        gpu: whether a GPU computed some of them.
    """
    torch = sys.modules.get("torch")
    return {
        "portable": is_portable() and not gpu,
        # None where nothing of torch was used.
        "capability": None if torch is None else torch.backends.cpu.get_cpu_capability(),
        "settings": {name: os.environ[name] for name in SETTINGS if name in os.environ},
    }


def machine() -> dict[str, Any]:
    """The system, model of the processor, and number of cores of this machine."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "system": platform.platform(),
        "processor": models[0] if models else platform.machine(),
        "cores": len(models),
    }


def commit() -> str | None:
    """The commit of the code, with ``-dirty`` if files differ from it; None outside a git checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


@cache
def _versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions
