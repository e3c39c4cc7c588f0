"""Which weights make which cell, worked out from the configuration for rules/methods/universeg.smk."""

from __future__ import annotations

from typing import Any

from fedfactory.methods.foundation.cells import FoundationCells


class UniverSegCells(FoundationCells):
    """The methods of a run with ``rules: universeg``."""

    def model(self, wildcards: Any) -> str:
        """The weights, which are the model: nothing is trained at the target."""
        return self.weights(wildcards)

    def with_model(self, wildcards: Any) -> list[str]:
        """Their record."""
        return [self.record(wildcards)]

    def prediction(self, wildcards: Any) -> dict[str, Any]:
        """Edge of the images that the network reads."""
        return {"size": self.of(wildcards.method, wildcards.setup).image_size}
