"""Which clients make which cell, worked out from the configuration for rules/methods/feddg.smk."""

from __future__ import annotations

from fedfactory.errors import FedFactoryError
from fedfactory.methods.federated.cells import UNetCells


class FedDGCells(UNetCells):
    """The methods of a run with ``rules: feddg``."""

    def _check(self) -> None:
        super()._check()
        for name in self.parameters:
            for setup in self._config.setups.values():
                # Amplitudes come from another client than the one that trains, and neither is the target.
                if (count := 1 + len(setup.targets)) < 3:
                    raise FedFactoryError(
                        f"key 'methods.{name}': FedDG needs two sites with labels beside the target, and setup "
                        f"{setup.name} has {count} in all; leave the row out ('{name}: null'), or add a site"
                    )

    def clients(self, setup: str, target: str) -> list[str]:
        """All clients of a setup with labels, but the target."""
        entry = self._config.setups[setup]
        return [name for name in (entry.source, *entry.targets) if name != target]
