"""A client's own log of what went wrong: the full story, which never crosses its border."""

from __future__ import annotations

import traceback
from pathlib import Path

from fedfactory.errors import FedFactoryError

OWN_LOG = "failure.log"
"""The file among a client's records; no part of any result."""


def write_own_log(folder: Path, error: BaseException) -> None:
    """Write down an error: its sentence first, and where it came from below."""
    sentence = str(error) if isinstance(error, FedFactoryError) else f"unexpected {type(error).__name__}: {error}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / OWN_LOG).write_text(f"{sentence}\n\n{''.join(traceback.format_exception(error))}")


def read_own_log(folder: Path) -> str | None:
    """The sentence in a client's own log, or None without a failure.

    For whoever may read the client's files: its own people, or, where all clients are on one machine, the person who
    trains. The server never calls this.
    """
    file = folder / OWN_LOG
    if not file.is_file():
        return None
    sentence = file.read_text().partition("\n\n")[0]
    return f"{sentence} (its own log: {file})"
