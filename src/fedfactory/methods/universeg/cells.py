"""Which weights make which cell, worked out from the configuration for rules/universeg.smk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fedfactory.config.run import Config
from fedfactory.errors import FedFactoryError
from fedfactory.methods.foundation.cells import weights_input, weights_path
from fedfactory.methods.universeg.parameters import UniverSegParameters
from fedfactory.storage.weights_choice import TINY
from fedfactory.storage.weights_table import WeightsTable


class UniverSegCells:
    """The methods of a run with ``rules: universeg``.

    Attributes:
        parameters: by method.
        pretrained: names of those that the workflow pre-trains.
    """

    def __init__(self, config: Config, project: Path) -> None:
        """Check the parameters of all methods.

        Raises:
            FedFactoryError: bad parameters, or weights that config/weights.yaml does not name.
        """
        self._config, self._table = config, WeightsTable.read(project)
        self.parameters = {}
        for method in config.methods.values():
            if method.rules != "universeg":
                continue
            key = f"{config.file}: key 'methods.{method.name}"
            p = UniverSegParameters.from_mapping(method.parameters, f"methods.{method.name}.parameters")
            if p.weights != TINY:
                self._table.entry(p.weights, f"methods.{method.name}.parameters.weights")
            if not method.uses_mt:
                raise FedFactoryError(f"{key}.uses_mt': UniverSeg's support set is M_t; set it to true")
            self.parameters[method.name] = p
        self.pretrained = [name for name, p in self.parameters.items() if p.weights == TINY]

    def weights(self, wildcards: Any) -> str:
        """What the prediction waits for."""
        return weights_input(self._config, wildcards.method, self.parameters[wildcards.method].weights)

    def path(self, wildcards: Any) -> str:
        """What the prediction reads."""
        return weights_path(self._config, self._table, wildcards.method, self.parameters[wildcards.method].weights)

    def size(self, wildcards: Any) -> int:
        """Edge of the images that the network reads."""
        return self.parameters[wildcards.method].image_size
