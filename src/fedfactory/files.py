"""Files that are either whole or absent, and paths that stay where they belong."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from fedfactory.errors import FedFactoryError


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Fill a folder that appears at ``path`` only when the block ends without an error.

    Yields a temporary folder beside ``path`` (same file system, so the final rename is atomic). An existing folder at
    ``path`` is replaced; after an error it is as it was before and the temporary folder is gone.
    """
    # One fixed name: the next job clears what a killed one left. Snakemake never runs two jobs for one path.
    temporary = path.with_name(f".{path.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if path.exists():
            shutil.rmtree(path)
        temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """Write a file that appears at ``path`` only when the block ends without an error.

    Yields a temporary path with the same suffix in the same folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".partial-{path.name}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def inside(root: Path, relative: str, key: str) -> Path:
    """Join a path from a configuration or a table to its root, and refuse to leave that root.

    The check is on the text: a link that the data's owner made inside the root may lead elsewhere (data managers do
    that), a path that somebody wrote into a file may not.

    Args:
        root: the folder that the path must stay in.
        relative: POSIX path, relative to ``root``.
        key: where the path was read (file and key), for the message.

    Raises:
        FedFactoryError: ``relative`` is absolute, or climbs above ``root``.
    """
    path = PurePosixPath(relative)
    if path.is_absolute() or ".." in path.parts or "\\" in relative:
        raise FedFactoryError(f"{key}: '{relative}' leaves its folder {root}; give a path below it, without '..'")
    return root / path
