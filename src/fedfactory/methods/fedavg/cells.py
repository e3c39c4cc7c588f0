"""Which clients make which cell, worked out from the configuration for rules/methods/fedavg.smk."""

from __future__ import annotations

from typing import Any

from fedfactory.methods.federated.cells import UNetCells


class FedAvgCells(UNetCells):
    """The methods of a run with ``rules: fedavg``: one model for all targets of a setup, at its source."""

    def clients(self, setup: str, target: str) -> list[str]:
        """All clients of a setup with labels."""
        entry = self._config.setups[setup]
        return [entry.source, *entry.targets]

    def model(self, wildcards: Any) -> str:
        """The model that segments a cell: the one of the setup."""
        return self._cell(wildcards, self._source(wildcards), wildcards.method, "model")
