"""Which clients make which cell, worked out from the configuration for rules/methods/feddg.smk."""

from __future__ import annotations

from typing import Any

from fedfactory.methods.federated.cells import UNetCells


class FedDGCells(UNetCells):
    """The methods of a run with ``rules: feddg``."""

    def names(self, wildcards: Any) -> list[str]:
        """All clients of a setup with labels, but the target."""
        entry = self._config.setups[wildcards.setup]
        return [name for name in (entry.source, *entry.targets) if name != wildcards.client]
