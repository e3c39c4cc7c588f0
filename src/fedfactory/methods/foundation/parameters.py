"""How a small foundation model is pre-trained on procedural tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from fedfactory.config.parameters import STRICT, Count, OneOf, Positive, Schedule
from fedfactory.methods.foundation.tasks import FAMILIES


@dataclass(frozen=True)
class PretrainingParameters:
    """Pre-training on procedural tasks.

    Attributes:
        families: kinds of tasks.
        acquired: whether images look as if a scanner had taken them.
        pool: how many tasks are drawn in all; every step takes some of them.
        samples: images of each task.
        batch: tasks of a step.
        learning_rate: learning rate (Adam).
        schedule: length and decay.
        held_out: tasks of the same families that no step sees: they choose the state, and others measure it.
    """

    __pydantic_config__ = STRICT
    families: Annotated[tuple[Annotated[str, OneOf(tuple(FAMILIES))], ...], Field(min_length=1)]
    acquired: bool
    pool: Count
    samples: Count
    batch: Count
    learning_rate: Positive
    schedule: Schedule
    held_out: Count
