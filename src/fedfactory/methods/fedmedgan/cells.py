"""Which models make which cell, worked out from the configuration for rules/methods/fedmedgan.smk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fedfactory.config.run import Config
from fedfactory.methods.cells import Cells
from fedfactory.methods.federated.cells import FederatedCells
from fedfactory.orchestration.declared import Method, methods


class FedMedGanCells(FederatedCells, Cells):
    """The methods of a run with ``rules: fedmedgan``."""

    def __init__(self, config: Config, project: Path, declared: Method) -> None:
        self._nnunet = methods()["nnunet"].open(config, project)
        super().__init__(config, project, declared)

    def _check(self) -> None:
        for name, own in self.parameters.items():
            for p in own.values():
                self._nnunet.check_source_model(name, p.base)

    def names(self, wildcards: Any) -> list[str]:
        """Both clients, the source first."""
        return [self._source(wildcards), wildcards.client]

    def size(self, wildcards: Any) -> int:
        """Edge of the images that the networks read: that of the stores."""
        return self._config.preprocessing["image_size"]

    def with_model(self, wildcards: Any) -> list[str]:
        """The source's nnU-Net, which segments translated images."""
        return [self._nnunet.source_model(wildcards, self._base(wildcards))]

    def prediction(self, wildcards: Any) -> dict[str, bool]:
        """That nnU-Net's own."""
        return self._nnunet.flips(self._base(wildcards), wildcards.setup)

    def _base(self, wildcards: Any) -> str:
        return self.of(wildcards.method, wildcards.setup).base
