"""Which clients make which cell, worked out from the configuration for rules/feddg.smk."""

from __future__ import annotations

from typing import Any

from fedfactory.config.parameters import check_setups, for_setup
from fedfactory.config.run import Config
from fedfactory.errors import FedFactoryError
from fedfactory.federation.cell_jobs import FederatedCells
from fedfactory.methods.feddg.parameters import FedDGParameters


class FedDGCells(FederatedCells):
    """The methods of a run with ``rules: feddg``.

    Attributes:
        parameters: by method and setup.
    """

    def __init__(self, config: Config) -> None:
        """Check the parameters of all methods.

        Raises:
            FedFactoryError: bad parameters.
        """
        super().__init__(config)
        self.parameters = {}
        for method in config.methods.values():
            if method.rules != "feddg":
                continue
            key = f"{config.file}: key 'methods.{method.name}"
            place = f"methods.{method.name}.parameters"
            check_setups(method.parameters, config.setups, place)
            self.parameters[method.name] = {
                setup: FedDGParameters.from_mapping(for_setup(method.parameters, setup), place)
                for setup in config.setups
            }
            for setup, p in self.parameters[method.name].items():
                edge = config.preprocessing["image_size"]
                if p.image_size > edge or p.image_size >> (len(p.features) - 1) <= 1:
                    raise FedFactoryError(
                        f"{key}.parameters.image_size': {p.image_size} pixels in setup {setup} are more than the "
                        f"{edge} of the stores, or too few for {len(p.features)} resolutions"
                    )
            if method.uses_mt:
                raise FedFactoryError(f"{key}.uses_mt': FedDG sees nothing of the target; set it to false")

    def clients(self, setup: str, target: str) -> list[str]:
        """All clients of a setup with labels, but the target."""
        entry = self._config.setups[setup]
        return [name for name in (entry.source, *entry.targets) if name != target]

    def size(self, wildcards: Any) -> int:
        """Edge of the images that the network reads."""
        return self.parameters[wildcards.method][wildcards.setup].image_size

    def classes(self, wildcards: Any) -> int:
        """Foreground classes of the setup."""
        return len(self._config.setups[wildcards.setup].classes)
