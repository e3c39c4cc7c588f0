"""What the rules of a row that trains a federation on one machine share: its clients' stores, and memory."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from fedfactory.config.run import Config


class FederatedCells(ABC):
    """Cells whose training takes several clients, each with its own data in its own process.

    Args:
        config: the run.
    """

    def __init__(self, config: Config) -> None:
        self._config = config

    @abstractmethod
    def clients(self, setup: str, target: str) -> list[str]:
        """Who takes part for a target."""

    @abstractmethod
    def size(self, wildcards: Any) -> int:
        """Edge of the images that the networks read."""

    def inputs(self, wildcards: Any) -> list[str]:
        """Stores of all clients that take part; each is opened by its client's own process."""
        return list(self._stores(wildcards).values())

    def stores(self, wildcards: Any) -> str:
        """Each client's own store, as JSON."""
        return json.dumps(self._stores(wildcards))

    def memory(self, wildcards: Any, store_mb: Callable[[str, str], float]) -> int:
        """Memory in MB: every client holds its images, and the feature maps of its networks.

        Measured at 64 pixels: less than 1 GB for three clients and the server. The rest is an estimate: images
        three times while they are read, and the maps of a batch.

        Args:
            wildcards: of the cell.
            store_mb: (setup, client) -> MB of its store.
        """
        maps = 3000 * (self.size(wildcards) / 512) ** 2
        clients = self.clients(wildcards.setup, wildcards.client)
        return round(1000 + sum(1000 + maps + 3 * store_mb(wildcards.setup, client) for client in clients))

    def _stores(self, wildcards: Any) -> dict[str, str]:
        clients = self.clients(wildcards.setup, wildcards.client)
        return {client: self._config.layout.client(wildcards.setup, client, "data") for client in clients}
