"""Where the weights of a foundation model come from, for the rules of its methods."""

from __future__ import annotations

from typing import Any

from fedfactory.methods.cells import Cells, key_of
from fedfactory.storage.weights_choice import TINY
from fedfactory.storage.weights_table import WeightsTable


class FoundationCells(Cells):
    """The methods of a run that use the weights of a foundation model.

    Attributes:
        pretrained: names of those that the workflow pre-trains.
    """

    def _check(self) -> None:
        self._table = WeightsTable.read(self._project)
        weights = {name: next(iter(own.values())).weights for name, own in self.parameters.items()}
        for name, chosen in weights.items():
            if chosen != TINY:
                self._table.entry(chosen, f"{key_of(name)}.weights")
        self.pretrained = [name for name, chosen in weights.items() if chosen == TINY]

    def weights(self, wildcards: Any) -> str:
        """What a job that uses the weights waits for: the workflow's own model, or the record of a checked file."""
        chosen = self._chosen(wildcards)
        return (
            self._config.layout.foundation(wildcards.method) if chosen == TINY else self._config.layout.weights(chosen)
        )

    def path(self, wildcards: Any) -> str:
        """What such a job reads: a folder, or a file."""
        chosen = self._chosen(wildcards)
        return self._config.layout.foundation(wildcards.method) if chosen == TINY else self._table.path(chosen)

    def _chosen(self, wildcards: Any) -> str:
        return self.of(wildcards.method, wildcards.setup).weights
