"""Which models make which cell, worked out from the configuration for rules/methods/fedmedgan.smk."""

from typing import Any

from fedfactory.methods.federated.cells import FederatedCells
from fedfactory.methods.nnunet.cells import OnSourceModel


class FedMedGanCells(FederatedCells, OnSourceModel):
    """The methods of a run with ``rules: fedmedgan``."""

    def names(self, wildcards: Any) -> list[str]:
        """Both clients, the source first."""
        return [self._source(wildcards), wildcards.client]

    def size(self, wildcards: Any) -> int:
        """Edge of the images that the networks read: that of the stores."""
        return self._config.preprocessing["image_size"]

    def with_model(self, wildcards: Any) -> list[str]:
        """The source's nnU-Net, which segments translated images."""
        return [self._source_model(wildcards)]
