"""What the rules of a row that trains a federation on one machine share: its clients' stores, and memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from fedfactory.errors import FedFactoryError
from fedfactory.federation.parameters import EngineParameters
from fedfactory.methods.cells import Cells, key_of


class FederatedCells(Cells, ABC):
    """Cells whose training takes several clients, each with its own data in its own process."""

    @abstractmethod
    def names(self, wildcards: Any) -> list[str]:
        """Names of all clients that take part in a cell's training."""

    def engine(self, wildcards: Any) -> EngineParameters | None:
        """Which engine trains a cell; None where there is no choice."""
        p = self.of(wildcards.method, wildcards.setup)
        return p if isinstance(p, EngineParameters) else None

    @abstractmethod
    def size(self, wildcards: Any) -> int:
        """Edge of the images that the networks read."""

    def stores(self, wildcards: Any) -> list[str]:
        """Their stores, in the same order; each is opened by its client's own process. None where they are remote."""
        if (engine := self.engine(wildcards)) and engine.mode == "remote":
            return []
        return [self._config.layout.client(wildcards.setup, name, "data") for name in self.names(wildcards)]

    def memory(self, wildcards: Any, store_mb: Callable[[str, str], float]) -> int:
        """Memory in MB: every client holds its images, and the feature maps of its networks.

        Measured at 64 pixels: less than 1 GB for three clients and the server. The rest is an estimate: images
        three times while they are read, and the maps of a batch.

        Args:
            wildcards: of the cell.
            store_mb: (setup, client) -> MB of its store.
        """
        # A researcher and nodes import all of Fed-BioMed, each for itself.
        engine = self.engine(wildcards)
        process = 2500 if engine and engine.engine == "fedbiomed" else 1000
        maps = 3000 * (self.size(wildcards) / 512) ** 2
        each = (process + maps + 3 * store_mb(wildcards.setup, client) for client in self.names(wildcards))
        return round(process + sum(each))


class UNetCells(FederatedCells):
    """Cells of a U-Net that a federation trains on the labels of its clients."""

    def _check(self) -> None:
        edge = self._config.preprocessing["image_size"]
        for name, own in self.parameters.items():
            for setup, p in own.items():
                if p.image_size > edge or p.image_size >> (len(p.features) - 1) <= 1:
                    raise FedFactoryError(
                        f"key '{key_of(name)}.image_size': {p.image_size} pixels in setup {setup} are more than the "
                        f"{edge} of the stores, or too few for {len(p.features)} resolutions"
                    )

    def size(self, wildcards: Any) -> int:
        """Edge of the images that the network reads."""
        return self.of(wildcards.method, wildcards.setup).image_size

    def classes(self, wildcards: Any) -> int:
        """Foreground classes of the setup."""
        return len(self._config.setups[wildcards.setup].classes)

    def prediction(self, wildcards: Any) -> dict[str, Any]:
        """None: all that the prediction needs stands in the model's folder."""
        return {}
