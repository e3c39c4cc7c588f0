"""Where the weights of a foundation model come from, for the rules of its methods."""

from __future__ import annotations

from typing import Any

from fedfactory.config.parameters import LIKE, SETUPS
from fedfactory.errors import FedFactoryError
from fedfactory.methods.cells import Cells, key_of
from fedfactory.storage.weights_choice import TINY
from fedfactory.storage.weights_table import WeightsTable


class FoundationCells(Cells):
    """The methods of a run that use the weights of a foundation model.

    Attributes:
        pretrained: names of those that the workflow pre-trains.
    """

    def _check(self) -> None:
        for name, entry in self.entries.items():
            if SETUPS in entry.parameters:
                raise FedFactoryError(f"key '{key_of(name)}.{SETUPS}': one model serves all setups; remove it")
            if LIKE in entry.parameters:
                raise FedFactoryError(f"key '{key_of(name)}.{LIKE}': give this row all of its parameters; remove it")
        table = WeightsTable.read(self._project)
        weights = {name: self.same(name, "weights") for name in self.parameters}
        for name, chosen in weights.items():
            if chosen != TINY:
                table.entry(chosen, f"{key_of(name)}.weights")
        self.pretrained = [name for name, chosen in weights.items() if chosen == TINY]

    def weights(self, wildcards: Any) -> str:
        """The weights: a folder that the workflow made, or a file that it checked."""
        return self._chosen(wildcards, ".pt")

    def record(self, wildcards: Any) -> str:
        """What says which weights these are: that folder, or the record of that file."""
        return self._chosen(wildcards, ".json")

    def with_model(self, wildcards: Any) -> list[str]:
        """The record of the weights, and the weights."""
        return [self.record(wildcards), self.weights(wildcards)]

    def _chosen(self, wildcards: Any, suffix: str) -> str:
        chosen, layout = self.of(wildcards.method, wildcards.setup).weights, self._config.layout
        return layout.foundation(wildcards.method) if chosen == TINY else layout.weights(chosen, suffix)
