"""Files of tensors: written with the digest of their content, read without executing code, and finite."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

from fedfactory.errors import FedFactoryError


def write_tensors(content: Any, path: Path) -> str:
    """Write what ``torch.load(weights_only=True)`` reads, through to the disk.

    Args:
        content: tensors in dictionaries and lists, with plain values.
        path: the file; what is there is replaced, and a failed file may remain: give a temporary one.

    Returns:
        SHA-256 of the file.

    Raises:
        OSError: a full disk, no permission. (torch itself would raise a RuntimeError about positions.)
    """
    import torch

    with path.open("wb") as file:
        sink = _Sink(file)
        torch.save(content, cast(BinaryIO, sink))
        if sink.failure is not None:
            raise sink.failure
        file.flush()
        # After a power cut a renamed file may otherwise be there, and empty.
        os.fsync(file.fileno())
    return sink.hash.hexdigest()


def read_tensors(file: Path, device: str, key: str = "", advice: str = "get it again") -> Any:
    """Read what :func:`write_tensors` wrote, or torch itself, and execute nothing of it.

    Args:
        file: tensors in dictionaries and lists, with plain values.
        device: of the tensors.
        key: the key of the configuration that names the file, for messages; empty for none.
        advice: what to do about another file.

    Raises:
        FedFactoryError: the file cannot be read, holds anything else, or a number that is not finite.
    """
    import torch

    where = named(file, key)
    try:
        content = torch.load(file, map_location=device, weights_only=True)
    except OSError as error:
        raise FedFactoryError(f"{where} cannot be read ({error.strerror or error}); {advice}") from None
    except Exception as error:
        # Torch and pickle raise what they like about bytes that are no table of weights.
        raise FedFactoryError(
            f"{where} is no table of weights that can be read without executing code ({reason(error)}); {advice}"
        ) from None
    for name, tensor in _tensors(content):
        if not torch.isfinite(tensor).all():
            raise FedFactoryError(
                f"{where} holds numbers that are not finite{f' in {name}' if name else ''}: its training diverged, or "
                f"the file was changed; {advice}"
            )
    return content


def named(file: Path, key: str) -> str:
    """A file in a message, and the key of the configuration that names it, if one does."""
    return f"key '{key}': {file}" if key else str(file)


def reason(error: BaseException) -> str:
    """Why torch could not read a file, without its advice to read it in a way that executes code."""
    said = " ".join(str(error).split(". ")[0].split())[:200]
    told = not said or "weights_only" in said or "weights only" in said.lower()
    return "it holds more than tensors and plain values, or is damaged" if told else said


def _tensors(content: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """All tensors of nested dictionaries and lists, with their place."""
    if hasattr(content, "is_floating_point"):
        yield name, content
    elif isinstance(content, Mapping | list | tuple):
        items = content.items() if isinstance(content, Mapping) else enumerate(content)
        for part, value in items:
            yield from _tensors(value, f"{name}.{part}" if name else str(part))


class _Sink:
    """Where torch writes to: it hashes, and keeps an error for later, since torch replaces it by one of its own."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.hash = file, hashlib.sha256()
        self.failure: OSError | None = None

    def write(self, data: bytes) -> int:
        if self.failure is None:
            try:
                self._file.write(data)
                self.hash.update(data)
            except OSError as error:
                self.failure = error
        return len(data)

    def flush(self) -> None:
        pass
