"""Which labelled slices of a client a job may see: what a method declares, a store lets out and a table counts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from fedfactory.data.store import SliceRow


@dataclass(frozen=True)
class Labels:
    """The labels that a reader of a client's store may see; by default none.

    Attributes:
        few_shot: slices of M_t, the first so many; None for all of them.
        validation: whether those of the validation volumes.
        training: whether those of all training volumes: of the source, or for what is declared to need them.
    """

    few_shot: int | None = 0
    validation: bool = False
    training: bool = False

    @property
    def of_m_t(self) -> bool:
        """Whether M_t is used at all."""
        return self.few_shot != 0

    def without_validation(self) -> Self:
        """The same without the validation volumes."""
        return replace(self, validation=False)

    def covers(self, other: Self) -> bool:
        """Whether all that another reader may see is among what these are."""
        few = other.few_shot is not None and self.few_shot is not None and other.few_shot <= self.few_shot
        m_t = self.training or self.few_shot is None or few
        return m_t and self.validation >= other.validation and self.training >= other.training

    def to_json(self) -> str:
        """For a command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Labels:
        """Read what :meth:`to_json` gives."""
        return cls(**json.loads(text))

    def seen(self, rows: Sequence[SliceRow]) -> np.ndarray:
        """Whether the label of each slice of a client may be seen, (n,) boolean.

        Args:
            rows: the index of its store.
        """
        return self._train(rows) | self._choose(rows)

    def count(self, rows: Sequence[SliceRow]) -> tuple[int, int]:
        """How many labelled slices train, and how many choose something (state, schedule, field of view)."""
        return int(self._train(rows).sum()), int(self._choose(rows).sum())

    def in_words(self) -> str:
        """For a list of methods; empty for none."""
        m_t = "M_t" if self.few_shot is None else f"{self.few_shot} of M_t" if self.few_shot else ""
        parts = ["all training volumes" if self.training else m_t, "validation" if self.validation else ""]
        return ", ".join(filter(None, parts))

    def _train(self, rows: Sequence[SliceRow]) -> np.ndarray:
        if self.training:
            return np.array([row.labelled and row.split == "train" for row in rows], bool)
        m_t = np.array([row.in_mt for row in rows], bool)
        return m_t if self.few_shot is None else m_t & (m_t.cumsum() <= self.few_shot)

    def _choose(self, rows: Sequence[SliceRow]) -> np.ndarray:
        return np.array([self.validation and row.labelled and row.split == "validation" for row in rows], bool)


NONE = Labels()
SOURCE = Labels(validation=True, training=True)
"""What the source sees of its own."""
TRAINING = Labels(training=True)
"""What a method that needs all labels of a target sees there: validation volumes are none of them."""
