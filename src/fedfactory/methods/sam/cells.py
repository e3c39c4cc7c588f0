"""Which weights make which cell, worked out from the configuration for rules/sam.smk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fedfactory.config.models import TABLE1
from fedfactory.config.run import Config
from fedfactory.errors import FedFactoryError
from fedfactory.methods.foundation.cells import weights_input, weights_path
from fedfactory.methods.sam.parameters import ORACLE, SamParameters
from fedfactory.storage.weights_choice import TINY
from fedfactory.storage.weights_table import WeightsTable


class SamCells:
    """The methods of a run with ``rules: sam``.

    Attributes:
        parameters: by method.
        oracles: names of those whose prompt is drawn from the truth.
        pretrained: names of those that the workflow pre-trains.
    """

    def __init__(self, config: Config, project: Path) -> None:
        """Check the parameters of all methods.

        Raises:
            FedFactoryError: bad parameters, weights that config/weights.yaml does not name, a prompt that knows the
                truth, or a ``start`` that the workflow does not pre-train.
        """
        self._config, self._table = config, WeightsTable.read(project)
        self.parameters = {}
        for method in config.methods.values():
            if method.rules != "sam":
                continue
            key = f"{config.file}: key 'methods.{method.name}"
            p = SamParameters.from_mapping(method.parameters, f"methods.{method.name}.parameters")
            if p.weights != TINY:
                self._table.entry(p.weights, f"methods.{method.name}.parameters.weights")
            if not method.uses_mt:
                raise FedFactoryError(f"{key}.uses_mt': the decoder is fine-tuned on M_t; set it to true")
            if p.prompt == ORACLE and config.table == TABLE1:
                raise FedFactoryError(
                    f"{key}.parameters.prompt': '{ORACLE}' is drawn from the truth of the test volumes and has no "
                    "place in Table 1; put the method into a configuration with another 'table'"
                )
            self.parameters[method.name] = p
        self.oracles = [name for name, p in self.parameters.items() if p.prompt == ORACLE]
        self.pretrained = [name for name, p in self.parameters.items() if p.weights == TINY]
        for name, p in self.parameters.items():
            if p.start is not None and (p.start == name or p.start not in self.pretrained):
                others = ", ".join(other for other in self.pretrained if other != name) or "none"
                raise FedFactoryError(
                    f"{config.file}: key 'methods.{name}.parameters.start': '{p.start}' is no model that the workflow "
                    f"pre-trains; known are {others}"
                )

    def start(self, wildcards: Any) -> list[str]:
        """The model that a pre-training goes on from, if any."""
        start = self.parameters[wildcards.method].start
        return [self._config.layout.foundation(start)] if start else []

    def weights(self, wildcards: Any) -> str:
        """What tuning and prediction wait for."""
        return weights_input(self._config, wildcards.method, self.parameters[wildcards.method].weights)

    def path(self, wildcards: Any) -> str:
        """What they read."""
        return weights_path(self._config, self._table, wildcards.method, self.parameters[wildcards.method].weights)
