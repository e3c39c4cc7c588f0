"""Checkpoints of a training, or of one party of a federated training: numbered states, whole or not there.

A file's name ends with the digest of what is in it, so that one rename publishes both. What a disk, a network file
system or a power cut did to a file is seen when it is read, and the state before it is taken instead.
"""

from __future__ import annotations

import hashlib
import logging
import pickle
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedfactory.errors import FedFactoryError
from fedfactory.storage.files import new_file
from fedfactory.storage.tensors import reason, write_tensors

log = logging.getLogger(__name__)

# A kill can come between the files that two parties of a federation write for one round: both have the one before.
_KEPT = 2
_DIGITS = 16
# Seconds between checkpoints, at least; and no more than one second in fifty is spent on them.
_INTERVAL, _SHARE = 20.0, 50.0
_NAME = re.compile(r"round(\d+)-([0-9a-f]{16})\.pt")


class Checkpoints:
    """Numbered files in a folder that belongs to exactly one training.

    Attributes:
        folder: where they lie.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        """Open the folder; what another training left in it is removed.

        Args:
            folder: made where missing.
            identity: digest of everything that the training depends on (parameters, seed, code, data).
        """
        self.folder = folder
        mark = folder / "identity"
        if folder.exists() and not (mark.is_file() and mark.read_text() == identity):
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for partial in folder.glob(".partial-round*"):
            partial.unlink()
        with new_file(mark) as file:
            file.write_text(identity)

    def kept(self) -> list[int]:
        """Rounds that have a file, ascending; the files are not opened, and may be damaged."""
        return sorted(self._files())

    def rounds(self) -> list[int]:
        """Rounds that can be continued from, ascending; every file is compared with its digest, damaged ones go."""
        return [number for number, file in sorted(self._files().items()) if self._whole(file)]

    def save(self, round_number: int, state: Mapping[str, Any]) -> None:
        """Write the state before a round, whole or not at all, and drop old ones.

        Raises:
            FedFactoryError: it cannot be written (a full disk, no permission); the states before it remain.
        """
        partial = self.folder / f".partial-round{round_number:06d}"
        try:
            digest = write_tensors(dict(state), partial)[:_DIGITS]
            whole = self.folder / f"round{round_number:06d}-{digest}.pt"
            partial.replace(whole)
        except OSError as error:
            raise FedFactoryError(
                f"{self.folder}: the checkpoint of round {round_number} cannot be written ({error.strerror}); make "
                "room or correct the permissions, and start the job again: it goes on from round "
                f"{max(self.kept(), default=0)}"
            ) from error
        finally:
            partial.unlink(missing_ok=True)
        rounds = self.kept()[-_KEPT:]
        for number, file in self._every():
            if number not in rounds or (number == round_number and file != whole):
                file.unlink()

    def forget_after(self, round_number: int) -> None:
        """Remove later states, which another party lacks: going on from this round writes them anew."""
        for later, file in self._every():
            if later > round_number:
                file.unlink()

    def load(self, round_number: int) -> dict[str, Any]:
        """Read a state; nothing in the file is executed.

        Raises:
            FedFactoryError: the file holds something else than tensors and plain values.
        """
        import torch

        file = self._files()[round_number]
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
            raise FedFactoryError(
                f"{file} is no checkpoint of this project, and nothing in it was executed ({reason(error)}); find "
                f"out where it comes from, then remove {self.folder} to start anew"
            ) from error

    def remove(self) -> None:
        """Remove all of them: the training is complete."""
        shutil.rmtree(self.folder)

    def _files(self) -> dict[int, Path]:
        return dict(self._every())

    def _every(self) -> list[tuple[int, Path]]:
        named = [(_NAME.fullmatch(file.name), file) for file in sorted(self.folder.glob("round*.pt"))]
        return [(int(match.group(1)), file) for match, file in named if match]

    def _whole(self, file: Path) -> bool:
        try:
            with file.open("rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
        except OSError as error:
            log.warning("%s cannot be read (%s); the state before it is taken", file, error.strerror)
            return False
        if not file.stem.endswith(digest[:_DIGITS]):
            log.warning("%s is damaged: its content is not what was written; the state before it is taken", file)
            file.unlink()
            return False
        return True


class Clock:
    """When the next checkpoint is due, where steps take unequal times."""

    def __init__(self) -> None:
        self._started = self._last = time.monotonic()
        self._cost = 0.0

    def due(self) -> bool:
        """Whether to save now; call :meth:`done` afterwards."""
        self._started = time.monotonic()
        return self._started - self._last > max(_INTERVAL, _SHARE * self._cost)

    def done(self) -> None:
        """A checkpoint was saved, since :meth:`due` was asked."""
        self._last = time.monotonic()
        self._cost = self._last - self._started
