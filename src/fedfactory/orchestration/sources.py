"""The source files that a process has really loaded, and which ones it was planned to load.

A module can be edited while a workflow runs, and put back afterwards: a job that was started in between ran other code
than its parameters say, and no digest taken before or after would show it. Python itself may even run a stale file of
bytecode, which it tells from the source by seconds and size. Modules of this package are therefore compiled from the
bytes that are read for their digest, and a job says beforehand which bytes it expects (:func:`expect`).
"""

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from functools import cache
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from pathlib import Path
from types import CodeType

from fedfactory.errors import FedFactoryError

ROOT = Path(__file__).parents[1]
"""Folder of the package."""
_EXPECTED = "FEDFACTORY_SOURCES"
_loaded: dict[str, bytes] = {}


class _Loader(SourceFileLoader):
    """Compiles a module from the bytes that it keeps; about a millisecond each."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        content = self.get_data(path)
        wanted = _expected(os.environ.get(_EXPECTED, "{}")).get(_name(path))
        if wanted not in (None, digest_of(content)):
            raise changed(path)
        _loaded[path] = content
        return self.source_to_code(content, path)


def install() -> None:
    """Load modules of this package by the bytes of their files from now on; called when the package is imported."""
    sys.path_hooks.insert(0, _hook)
    for folder in [name for name in sys.path_importer_cache if _is_inside(name)]:
        del sys.path_importer_cache[folder]


def content_of(path: Path) -> bytes:
    """The bytes of a file as this process loaded it, or as they are now if it has not."""
    return _loaded.get(str(path)) or path.read_bytes()


def expect(contents: Mapping[str, bytes]) -> None:
    """Refuse, from now on, to load other files than these; the processes that this one starts refuse as well.

    Args:
        contents: path below the package -> its bytes.
    """
    os.environ[_EXPECTED] = json.dumps({name: digest_of(content) for name, content in contents.items()})


def digest_of(content: bytes) -> str:
    """The first 16 hexadecimal digits of a SHA-256."""
    return hashlib.sha256(content).hexdigest()[:16]


def changed(path: str | Path) -> FedFactoryError:
    """The error of a file that is not the planned one."""
    return FedFactoryError(
        f"{path}: was edited after the workflow was planned; nothing was written. Start snakemake again: it makes what "
        "the edit changes"
    )


@cache
def _expected(text: str) -> dict[str, str]:
    return json.loads(text)


def _hook(folder: str) -> FileFinder:
    if not _is_inside(folder):
        raise ImportError
    return FileFinder(folder, (_Loader, SOURCE_SUFFIXES))


def _is_inside(folder: str) -> bool:
    return folder == str(ROOT) or folder.startswith(f"{ROOT}{os.sep}")


def _name(path: str) -> str:
    return Path(path).relative_to(ROOT).as_posix()
