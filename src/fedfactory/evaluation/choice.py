"""What the target's validation volumes choose among the states of a training (protocol ``paper``)."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

from fedfactory.errors import FedFactoryError
from fedfactory.storage.files import new_file

_COLUMNS = ("step", "way", "dice", "chosen")


class State(NamedTuple):
    """Something that a cell can be predicted with.

    Attributes:
        step: optimiser steps after which its weights were kept.
        way: how they are read, or which of several trainings left them.
    """

    step: int
    way: str


@dataclass(frozen=True)
class Choice:
    """Validation Dice of every state of a training.

    Attributes:
        dice: of every state, in [0, 1], in the order of the training; not empty.
    """

    dice: Mapping[State, float]

    @property
    def state(self) -> State:
        """The best state, the first of equals."""
        return max(self.dice, key=self.dice.__getitem__)

    def curves(self) -> dict[str, tuple[list[int], list[float]]]:
        """Steps and validation Dice of each way to read the states, or of each training that left some."""
        found: dict[str, tuple[list[int], list[float]]] = {}
        for state, dice in self.dice.items():
            steps, values = found.setdefault(state.way, ([], []))
            steps.append(state.step)
            values.append(dice)
        return found

    def write(self, file: Path) -> None:
        """Write a table of the states, whole or not at all."""
        rows = [(*state, f"{dice:.6f}", int(state == self.state)) for state, dice in self.dice.items()]
        with new_file(file) as path, path.open("w", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows([_COLUMNS, *rows])

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read what :meth:`write` wrote.

        Raises:
            FedFactoryError: it is no such table.
        """
        try:
            with file.open(newline="") as stream:
                rows = list(csv.DictReader(stream))
            found = {State(int(row["step"]), row["way"]): float(row["dice"]) for row in rows}
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise FedFactoryError(f"{file} is no table of states ({error}); make it with the rule choose") from None
        if not found:
            raise FedFactoryError(f"{file} names no state; make it with the rule choose")
        return cls(found)
