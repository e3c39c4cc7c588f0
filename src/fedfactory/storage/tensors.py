"""Files of tensors: written with the digest of their content, and with errors that say what the disk said."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, BinaryIO, cast


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
