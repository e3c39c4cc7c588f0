"""Which models make which cell, worked out from the configuration for rules/fedmedgan.smk."""

from __future__ import annotations

from typing import Any

from fedfactory.config.run import Config
from fedfactory.errors import FedFactoryError
from fedfactory.federation.cell_jobs import FederatedCells
from fedfactory.methods.fedmedgan.parameters import FedMedGanParameters
from fedfactory.methods.nnunet.cells import NnunetCells


class FedMedGanCells(FederatedCells):
    """The methods of a run with ``rules: fedmedgan``.

    Attributes:
        parameters: by method.
    """

    def __init__(self, config: Config) -> None:
        """Check the parameters of all methods.

        Raises:
            FedFactoryError: bad parameters, or a ``base`` that is no nnU-Net trained on the source.
        """
        super().__init__(config)
        self._nnunet = NnunetCells(config)
        self.parameters = {}
        for method in config.methods.values():
            if method.rules != "fedmedgan":
                continue
            key = f"methods.{method.name}.parameters"
            p = FedMedGanParameters.from_mapping(method.parameters, key)
            if p.base not in self._nnunet.scratch:
                raise FedFactoryError(
                    f"{config.file}: key '{key}.base': '{p.base}' is no nnU-Net trained on the source; known are "
                    f"{', '.join(self._nnunet.scratch) or 'none'}"
                )
            if method.uses_mt:
                raise FedFactoryError(
                    f"{config.file}: key 'methods.{method.name}.uses_mt': FedMed-GAN sees no label of the target; set "
                    "it to false"
                )
            self.parameters[method.name] = p

    def clients(self, setup: str, target: str) -> list[str]:
        """Both clients, the source first."""
        return [self._config.setups[setup].source, target]

    def size(self, wildcards: Any) -> int:
        """Edge of the images that the networks read: that of the stores."""
        return self._config.preprocessing["image_size"]

    def source_model(self, wildcards: Any) -> str:
        """The source model that segments translated images."""
        source = self._config.setups[wildcards.setup].source
        base = self.parameters[wildcards.method].base
        return self._config.layout.cell(wildcards.setup, source, base, wildcards.seed, "model")

    def mirroring(self, wildcards: Any) -> str:
        """Command-line switch of that model's prediction."""
        base = self._nnunet.parameters[self.parameters[wildcards.method].base]
        return "--mirroring" if base.test_time_mirroring else ""
