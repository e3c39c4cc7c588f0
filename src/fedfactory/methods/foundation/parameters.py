"""How a small foundation model is pre-trained on procedural tasks."""

from __future__ import annotations

from dataclasses import dataclass

from fedfactory.config.parameters import STRICT, Count, Positive, Schedule
from fedfactory.errors import FedFactoryError
from fedfactory.methods.foundation.tasks import FAMILIES


@dataclass(frozen=True)
class PretrainingParameters:
    """Pre-training on procedural tasks.

    Attributes:
        families: of tasks, names in :data:`fedfactory.methods.foundation.tasks.FAMILIES`.
        acquired: whether images look as if a scanner had taken them.
        pool: how many tasks are drawn in all; every step takes some of them.
        samples: images of each task.
        batch: tasks of a step.
        learning_rate: learning rate (Adam).
        schedule: length and decay.
        held_out: tasks of the same families that no step sees: they choose the state, and others measure it.
    """

    __pydantic_config__ = STRICT
    families: tuple[str, ...]
    acquired: bool
    pool: Count
    samples: Count
    batch: Count
    learning_rate: Positive
    schedule: Schedule
    held_out: Count

    def check(self, key: str) -> None:
        """Check names.

        Raises:
            FedFactoryError: a family that does not exist, or none.
        """
        unknown = [name for name in self.families if name not in FAMILIES]
        if unknown or not self.families:
            wrong = f"'{unknown[0]}' is unknown" if unknown else "is empty"
            raise FedFactoryError(f"key '{key}.families': {wrong}; known are {', '.join(FAMILIES)}")
