"""Which weights make which cell, worked out from the configuration for rules/methods/sam.smk."""

from __future__ import annotations

from typing import Any

from fedfactory.config.models import TABLE1
from fedfactory.errors import FedFactoryError
from fedfactory.methods.cells import key_of
from fedfactory.methods.foundation.cells import FoundationCells
from fedfactory.methods.sam.parameters import ORACLE


class SamCells(FoundationCells):
    """The methods of a run with ``rules: sam``.

    Attributes:
        oracles: names of those whose prompt is drawn from the truth.
    """

    def _check(self) -> None:
        super()._check()
        first = {name: next(iter(own.values())) for name, own in self.parameters.items()}
        self.oracles = [name for name, p in first.items() if p.prompt == ORACLE]
        for name in self.entries:
            if name in self.oracles and self._config.table == TABLE1:
                raise FedFactoryError(
                    f"key '{key_of(name)}.prompt': '{ORACLE}' is drawn from the truth of the test volumes and has no "
                    "place in Table 1; put the method into a configuration with another 'table'"
                )
        for name, p in first.items():
            if p.start is not None and (p.start == name or p.start not in self.pretrained):
                others = ", ".join(other for other in self.pretrained if other != name) or "none"
                raise FedFactoryError(
                    f"key '{key_of(name)}.start': '{p.start}' is no model that the workflow pre-trains; known are "
                    f"{others}"
                )

    def start(self, wildcards: Any) -> list[str]:
        """The model that a pre-training goes on from, if any."""
        start = next(iter(self.parameters[wildcards.method].values())).start
        return [self._config.layout.foundation(start)] if start else []

    def with_truth(self, wildcards: Any) -> list[str]:
        """What else the prediction reads, and the truth of the test volumes, for an oracle."""
        return [*self.with_model(wildcards), self._config.layout.client(wildcards.setup, wildcards.client, "truth")]

    def prediction(self, wildcards: Any) -> dict[str, Any]:
        """None: all that the prediction needs stands in the model's folder."""
        return {}
