"""Which source model a self-training starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fedfactory.config.run import Config
from fedfactory.methods.cells import Cells
from fedfactory.orchestration.declared import Method, methods


class SelfTrainingCells(Cells):
    """The methods of a run with ``rules: selftraining``."""

    def __init__(self, config: Config, project: Path, declared: Method) -> None:
        self._nnunet = methods()["nnunet"].open(config, project)
        super().__init__(config, project, declared)

    def _check(self) -> None:
        for name in self.parameters:
            self._nnunet.check_source_model(name, self.same(name, "base"))

    def starts_from(self, wildcards: Any) -> list[str]:
        """The source's nnU-Net."""
        return [self._nnunet.source_model(wildcards, self._base(wildcards))]

    def prediction(self, wildcards: Any) -> dict[str, bool]:
        """That nnU-Net's own."""
        return self._nnunet.flips(self._base(wildcards), wildcards.setup)

    def _base(self, wildcards: Any) -> str:
        return self.of(wildcards.method, wildcards.setup).base
