"""Which clients make which cell, worked out from the configuration for rules/methods/fedavg.smk."""

from __future__ import annotations

from typing import Any

from fedfactory.methods.federated.cells import UNetCells


class FedAvgCells(UNetCells):
    """The methods of a run with ``rules: fedavg``: one model for all targets of a setup, at its source."""

    def names(self, wildcards: Any) -> list[str]:
        """The source first, then all targets; where the source alone has labels, those of the federation."""
        entry = self._config.setups[wildcards.setup]
        everyone = self.of(wildcards.method, wildcards.setup).unlabelled is None
        return [entry.source, *(name for name in entry.targets if everyone or entry.clients[name].federated)]

    def model(self, wildcards: Any) -> str:
        """The model that segments a cell: the one of the setup."""
        return self._cell(wildcards, self._source(wildcards), wildcards.method, "model")
