"""Files that are either whole or absent, and paths that stay where they belong."""

import fcntl
import json
import logging
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, TextIO

from fedfactory.errors import FedFactoryError

log = logging.getLogger(__name__)

# Seconds until another job's claim is believed.
_PATIENCE = 120.0
Seal = Callable[[Path, Path], None]
"""Called with what is about to be put in its place, where it is still, and with that place."""
_seals: list[Seal] = []


@contextmanager
def sealing(seal: Seal) -> Iterator[None]:
    """Inside the block ``seal`` sees whatever :func:`new_file` and :func:`new_folder` make in this process."""
    _seals.append(seal)
    try:
        yield
    finally:
        _seals.remove(seal)


def parse_json(text: str | bytes) -> Any:
    """JSON of somebody else's.

    Raises:
        ValueError: it is none, or nested so deeply that Python gives up.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def files_below(folder: Path, above: frozenset[str] = frozenset()) -> Iterator[Path]:
    """All files below a folder, in order: behind links as well, but for those that lead back to where they lie.

    Args:
        folder: where to look.
        above: real paths of the folders around it.
    """
    place = os.path.realpath(folder)
    if place in above:
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            yield from files_below(path, above | {place})
        elif path.is_file():
            yield path


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Fill a folder that appears at ``path`` only when the block ends without an error.

    Yields a temporary folder beside ``path`` (same file system, so the final rename is atomic). An existing folder at
    ``path`` is replaced; after an error it is as it was before and the temporary folder is gone.
    """
    # One fixed name: the next job clears what a killed one left. Two jobs never write one path, see claimed().
    temporary = path.with_name(f".{path.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for seal in _seals:
            seal(temporary, path)
        if path.exists():
            shutil.rmtree(path)
        temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """A folder beside ``path`` for what its job needs on the way: no copy of data leaves the run's folder.

    It is gone when the block ends; what a killed job left is cleared by the next one.
    """
    folder = path.with_name(f".{path.name}.scratch")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def work_folder(out: Path) -> Path:
    """Where a job keeps what it needs after a kill to go on with what it makes at ``out``: hidden, beside it."""
    return out.with_name(f".{out.name}.work")


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Write a file that appears at ``path`` only when the block ends without an error.

    Yields a temporary path with the same suffix in the same folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".partial-{path.name}")
    try:
        yield temporary
        for seal in _seals:
            seal(temporary, path)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def link(file: Path, place: Path) -> None:
    """Let a file lie at a second place as well; a copy where the file system knows no hard links, or is another one."""
    try:
        os.link(file, place)
    except OSError:
        shutil.copyfile(file, place)


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Let no other job make what lies at ``path``, on this machine or on another one, while the block runs.

    Snakemake starts a job once; but one that it left in a cluster's queue when it was killed may still run. A killed
    process holds nothing: the lock is the kernel's. A network file system may take a minute to notice that a node is
    gone, so that the lock is waited for.

    Raises:
        FedFactoryError: another job makes it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    mark = path.with_name(f".{path.name}.lock")
    with _locked(mark, path) as file:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        if job := os.environ.get("SLURM_JOB_ID"):
            file.write(f", job {job} of Slurm")
        file.flush()
        try:
            yield
        finally:
            mark.unlink(missing_ok=True)


def _locked(mark: Path, path: Path) -> TextIO:
    end = time.monotonic() + _PATIENCE
    while True:
        file = mark.open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < end:
                file.close()
                time.sleep(1)
                continue
            file.seek(0)
            who = file.read() or "another process"
            file.close()
            raise FedFactoryError(
                f"{path} is being made by another job ({who}); wait for it, or cancel it and start this one again"
            ) from None
        except OSError as error:
            log.warning(
                "%s: this file system knows no locks (%s); see that no other job makes it", path, error.strerror
            )
            return file
        # Whoever held it may have removed the file between the two calls.
        if mark.exists() and os.path.samestat(os.fstat(file.fileno()), mark.stat()):
            return file
        file.close()


def inside(root: Path, relative: str, key: str) -> Path:
    """Join a path from a configuration or a table to its root, and refuse to leave that root.

    The check is on the text: a link that the data's owner made inside the root may lead elsewhere (data managers do
    that), a path that somebody wrote into a file may not.

    Args:
        root: the folder that the path must stay in.
        relative: POSIX path, relative to ``root``.
        key: where the path was read (file and key), for the message.

    Raises:
        FedFactoryError: ``relative`` is absolute, climbs above ``root``, or is written as on Windows.
    """
    path = PurePosixPath(relative)
    if "\\" in relative:
        raise FedFactoryError(f"{key}: '{relative}' has a backslash; write '/' between folders")
    if path.is_absolute() or ".." in path.parts:
        raise FedFactoryError(f"{key}: '{relative}' leaves its folder {root}; give a path below it, without '..'")
    return root / path
