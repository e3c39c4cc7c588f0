"""Looking for files in folders of others: links are followed, leftovers passed over, and nothing is lost in silence."""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from fedfactory.data.formats import is_leftover, readable
from fedfactory.errors import FedFactoryError

_SAFE, _LONGEST, _DIGITS = re.compile(r"[^A-Za-z0-9_-]+"), 80, 8
# Of a file, to tell apart what may be the same.
_SAMPLE = 1 << 16


def matching(root: Path, pattern: str) -> list[Path]:
    """Files and folders below ``root`` that match a pattern as :meth:`pathlib.Path.glob` takes it, in order.

    Unlike there, linked folders are searched, hidden files are not found, and a folder that may not be entered is an
    error.

    Raises:
        FedFactoryError: such a folder, or a link to what is missing.
    """
    level = [root]
    for part in pattern.split("/"):
        if part == "**":
            level = [folder for base in level for folder in _folders(base)]
        else:
            level = [child for base in level for child in _children(base) if fnmatchcase(child.name, part)]
    return sorted(set(level))


def visible_files(root: Path) -> list[Path]:
    """All files below a folder, links followed, hidden ones left out, in order.

    Raises:
        FedFactoryError: as :func:`matching`.
    """
    return sorted(child for folder in _folders(root) for child in _children(folder) if not _is_folder(child))


def _folders(root: Path) -> Iterator[Path]:
    """A folder and all below it; one that links lead to twice counts once."""
    seen, pending = set(), [root]
    while pending:
        folder = pending.pop()
        if (place := os.path.realpath(folder)) in seen:
            continue
        seen.add(place)
        yield folder
        pending += [child for child in reversed(_children(folder)) if _is_folder(child)]


def _children(folder: Path) -> list[Path]:
    if not _is_folder(folder):
        return []
    with readable(folder):
        names = sorted(os.listdir(folder))
    return [folder / name for name in names if not is_leftover(name)]


def _is_folder(path: Path) -> bool:
    with readable(path):
        if path.is_symlink() and not path.exists():
            raise FedFactoryError(
                f"{path}: is a link to {os.readlink(path)}, which is missing; bring that back, or remove the link"
            )
        return path.is_dir()


def lies_there(path: Path) -> bool:
    """Whether there is something at a path: a broken link as well, which is told where it is read."""
    with readable(path):
        return os.path.lexists(path)


def safe_name(name: str) -> str:
    """A name of letters, digits, ``_`` and ``-``, another one for every other name.

    Where something has to be replaced or cut, a digest of the name is put behind it.
    """
    safe = _SAFE.sub("-", name)
    if safe == name and len(name) <= _LONGEST and name:
        return name
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:_DIGITS]
    return f"{safe[:_LONGEST].strip('-')}-{digest}".removeprefix("-")


def twins(files: Iterable[Path]) -> list[tuple[Path, Path]]:
    """Pairs of files with the same bytes, of which there are some: the second and the first of each, by order."""
    alike: dict[tuple[int, bytes], list[Path]] = defaultdict(list)
    sizes: dict[int, list[Path]] = defaultdict(list)
    for file in files:
        with readable(file):
            sizes[file.stat().st_size].append(file)
    for size, own in sizes.items():
        if size and len(own) > 1:
            for file in own:
                with readable(file), file.open("rb") as stream:
                    alike[size, stream.read(_SAMPLE)].append(file)
    found: list[tuple[Path, Path]] = []
    for group in alike.values():
        first: dict[str, Path] = {}
        for file in group if len(group) > 1 else ():
            with readable(file), file.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            if (other := first.setdefault(digest, file)) != file:
                found.append((file, other))
    return found
