"""Which source model a self-training starts from."""

from typing import Any

from fedfactory.methods.nnunet.cells import OnSourceModel


class SelfTrainingCells(OnSourceModel):
    """The methods of a run with ``rules: selftraining``."""

    def starts_from(self, wildcards: Any) -> list[str]:
        """The source's nnU-Net."""
        return [self._source_model(wildcards)]
