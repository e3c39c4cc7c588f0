"""Which models make which cell, worked out from the configuration for rules/fedmedgan.smk."""

from __future__ import annotations

import json
from typing import Any

from fedfactory.baselines.fedmedgan.parameters import FedMedGanParameters
from fedfactory.baselines.nnunet.cells import NnunetCells
from fedfactory.config import Config
from fedfactory.errors import FedFactoryError


class FedMedGanCells:
    """The methods of a run with ``rules: fedmedgan``.

    Attributes:
        parameters: by method.
    """

    def __init__(self, config: Config) -> None:
        """Check the parameters of all methods.

        Raises:
            FedFactoryError: bad parameters, or a ``base`` that is no nnU-Net trained on the source.
        """
        self._config = config
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

    def inputs(self, wildcards: Any) -> list[str]:
        """Stores of both clients, which their own processes open; the source's first."""
        return list(self._stores(wildcards).values())

    def stores(self, wildcards: Any) -> str:
        """Both clients' stores as JSON."""
        return json.dumps(self._stores(wildcards))

    def source_model(self, wildcards: Any) -> str:
        """The source model that segments translated images."""
        source = self._config.setups[wildcards.setup].source
        base = self.parameters[wildcards.method].base
        return self._config.layout.cell(wildcards.setup, source, base, wildcards.seed, "model")

    def mirroring(self, wildcards: Any) -> str:
        """Command-line switch of that model's prediction."""
        base = self._nnunet.parameters[self.parameters[wildcards.method].base]
        return "--mirroring" if base.test_time_mirroring else ""

    def _stores(self, wildcards: Any) -> dict[str, str]:
        source = self._config.setups[wildcards.setup].source
        return {name: self._config.layout.client(wildcards.setup, name, "data") for name in (source, wildcards.client)}
