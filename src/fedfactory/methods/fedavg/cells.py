"""Which clients make which cell, worked out from the configuration for rules/methods/fedavg.smk."""

from __future__ import annotations

from typing import Any

from fedfactory.errors import FedFactoryError
from fedfactory.federation.aggregation import FEWEST
from fedfactory.methods.cells import key_of
from fedfactory.methods.fedavg.parameters import FedAvgParameters
from fedfactory.methods.federated.cells import UNetCells


class FedAvgCells(UNetCells):
    """The methods of a run with ``rules: fedavg``: one model for all targets of a setup, at its source."""

    def _check(self) -> None:
        super()._check()
        for name, own in self.parameters.items():
            for setup, p in own.items():
                if p.own_normalisation and p.unlabelled:
                    raise FedFactoryError(
                        f"key '{key_of(name)}.own_normalisation': goes with the labels of all clients; with "
                        "'unlabelled' a target outside of the federation takes no part, and has none of its own"
                    )
                if p.aggregation != "mean" and (clients := len(self._names(setup, p))) < FEWEST:
                    raise FedFactoryError(
                        f"key '{key_of(name)}.aggregation': '{p.aggregation}' needs at least {FEWEST} clients; in "
                        f"setup {setup} {clients} take part"
                    )

    def names(self, wildcards: Any) -> list[str]:
        """The source first, then all targets; where the source alone has labels, those of the federation."""
        return self._names(wildcards.setup, self.of(wildcards.method, wildcards.setup))

    def _names(self, setup: str, p: FedAvgParameters) -> list[str]:
        entry, everyone = self._config.setups[setup], p.unlabelled is None
        return [entry.source, *(name for name in entry.targets if everyone or entry.clients[name].federated)]

    def model(self, wildcards: Any) -> str:
        """The model that segments a cell: the one of the setup."""
        return self._cell(wildcards, self._source(wildcards), wildcards.method, "model")

    def prediction(self, wildcards: Any) -> dict[str, Any]:
        """Whose own weights belong to the model of a cell, where clients keep some."""
        return {"own": wildcards.client} if self.of(wildcards.method, wildcards.setup).own_normalisation else {}
