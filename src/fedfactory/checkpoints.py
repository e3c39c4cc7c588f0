"""Checkpoints of a training, or of one party of a federated training: numbered states, whole or not there."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedfactory.files import new_file

# A kill can come between the files that two parties of a federation write for one round: both have the one before.
_KEPT = 2


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
        with new_file(mark) as file:
            file.write_text(identity)

    def rounds(self) -> list[int]:
        """Rounds that can be continued from, ascending."""
        return sorted(int(file.stem.removeprefix("round")) for file in self.folder.glob("round*.pt"))

    def save(self, round_number: int, state: Mapping[str, Any]) -> None:
        """Write the state before a round, whole or not at all, and drop old ones."""
        import torch

        with new_file(self._file(round_number)) as file:
            torch.save(dict(state), file)
        for old in self.rounds()[:-_KEPT]:
            self._file(old).unlink()

    def forget_after(self, round_number: int) -> None:
        """Remove later states, which another party lacks: going on from this round writes them anew."""
        for later in self.rounds():
            if later > round_number:
                self._file(later).unlink()

    def load(self, round_number: int) -> dict[str, Any]:
        """Read a state; nothing in the file is executed."""
        import torch

        return torch.load(self._file(round_number), map_location="cpu", weights_only=True)

    def remove(self) -> None:
        """Remove all of them: the training is complete."""
        shutil.rmtree(self.folder)

    def _file(self, round_number: int) -> Path:
        return self.folder / f"round{round_number:06d}.pt"
