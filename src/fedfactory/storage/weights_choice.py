"""The choice of a network by name and, where its weights are a file of the user's, of that file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from fedfactory.config.parameters import STRICT, Digest, Text
from fedfactory.config.sentences import Misfit
from fedfactory.orchestration.declared import PACKAGE
from fedfactory.storage.weights_table import WeightsTable

TINY = "procedural-tiny"
"""Name of weights that the workflow makes itself, by pre-training a small foundation model on procedural tasks."""


def note_on_weights(parameters: Mapping[str, Any]) -> str:
    """What a reader of the table must know of a row that uses a foundation model.

    Args:
        parameters: of the row; ``weights`` names them.
    """
    name = parameters["weights"]
    if name == TINY:
        return f"Weights {TINY}: a small model, pre-trained by the workflow on procedural tasks."
    entry = WeightsTable.read(PACKAGE.parents[1]).entries.get(name)
    seen = f" {entry.seen}" if entry and entry.seen else ""
    return f"Weights {name}, whose digest stands in each cell's weights.json.{seen}"


@dataclass(frozen=True)
class WeightsChoice:
    """A network, and the file of its weights; a kind of network narrows the names.

    Attributes:
        name: of the network.
        checkpoint: file of its weights, where they are the user's.
        sha256: digest that the file must have; null takes any.
    """

    FROM_FILE: ClassVar[str]
    """The network whose weights are a file of the user's."""
    REFUSAL: ClassVar[str]
    """Why the others take no file."""
    __pydantic_config__ = STRICT
    name: str
    checkpoint: Text | None = None
    sha256: Digest | None = None

    def __post_init__(self) -> None:
        """Check that a file is given only where one is read."""
        for key in ("checkpoint", "sha256"):
            if self.name != self.FROM_FILE and getattr(self, key):
                raise Misfit(key, f"{self.name} {self.REFUSAL}; leave the key out")
