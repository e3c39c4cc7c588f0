"""Which clients make which cell, worked out from the configuration for rules/methods/feddg.smk."""

from __future__ import annotations

from typing import Any

from fedfactory.errors import FedFactoryError
from fedfactory.methods.cells import Cells, key_of
from fedfactory.methods.federated.cells import FederatedCells


class FedDGCells(FederatedCells, Cells):
    """The methods of a run with ``rules: feddg``."""

    def _check(self) -> None:
        edge = self._config.preprocessing["image_size"]
        for name, own in self.parameters.items():
            for setup, p in own.items():
                if p.image_size > edge or p.image_size >> (len(p.features) - 1) <= 1:
                    raise FedFactoryError(
                        f"key '{key_of(name)}.image_size': {p.image_size} pixels in setup {setup} are more than the "
                        f"{edge} of the stores, or too few for {len(p.features)} resolutions"
                    )

    def clients(self, setup: str, target: str) -> list[str]:
        """All clients of a setup with labels, but the target."""
        entry = self._config.setups[setup]
        return [name for name in (entry.source, *entry.targets) if name != target]

    def size(self, wildcards: Any) -> int:
        """Edge of the images that the network reads."""
        return self.of(wildcards.method, wildcards.setup).image_size

    def classes(self, wildcards: Any) -> int:
        """Foreground classes of the setup."""
        return len(self._config.setups[wildcards.setup].classes)

    def prediction(self, wildcards: Any) -> dict[str, Any]:
        """None: all that the prediction needs stands in the model's folder."""
        return {}
