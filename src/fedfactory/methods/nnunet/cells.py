"""Which model makes which cell, worked out from the configuration for rules/methods/nnunet.smk."""

from pathlib import Path
from typing import Any

from fedfactory.config.run import Config
from fedfactory.errors import FedFactoryError
from fedfactory.methods.cells import Cells, key_of
from fedfactory.methods.nnunet.parameters import NnunetParameters
from fedfactory.orchestration.declared import Method, methods
from fedfactory.orchestration.labels import SOURCE, TRAINING


class NnunetCells(Cells):
    """The nnU-Net methods of a run.

    Attributes:
        tuned: names of the methods that fine-tune another one's source model.
        scratch: names of the methods that are trained on the source alone.
        at_target: names of those that are trained on all labels of each target.
        pooled: names of those that are trained on the labels of all clients.
        planned: names of the clients whose labels train a model: the sources, and all targets for those.
    """

    def _check(self) -> None:
        bases = {name: self.same(name, "base") for name in self.parameters}
        self.tuned = [name for name, base in bases.items() if base]
        at = {name: self.same(name, "trained_at") for name in self.parameters}
        self.at_target = [name for name in bases if at[name] == "target"]
        self.pooled = [name for name in bases if at[name] == "all"]
        self.scratch = [name for name in bases if name not in (*self.tuned, *self.at_target, *self.pooled)]
        for name, entry in self.entries.items():
            if entry.centralised != (name in self.pooled):
                raise FedFactoryError(
                    f"key 'methods.{name}.centralised': an nnU-Net is centralised if, and only if, it has 'trained_at: "
                    "all'"
                )
        setups = self._config.setups.values()
        targets = [client for setup in setups for client in setup.targets]
        self.planned = {*(setup.source for setup in setups), *(targets if self.at_target else ())}
        for name in self.tuned:
            self.check_source_model(name, bases[name])

    def check_source_model(self, name: str, base: str) -> None:
        """Refuse a row, by its name, whose ``base`` has no source model.

        Raises:
            FedFactoryError: the sentence names the key.
        """
        if base not in self.scratch:
            known = ", ".join(self.scratch) or "none"
            raise FedFactoryError(
                f"key '{key_of(name)}.base': '{base}' is no nnU-Net trained on the source; known are {known}"
            )

    def base_model(self, wildcards: Any) -> str:
        """The source model that a fine-tuned method starts from."""
        base = self._of(wildcards).base
        assert base is not None, "the rule is for methods with a base"
        return self.source_model(wildcards, base)

    def model(self, wildcards: Any) -> str:
        """The model that predicts a cell: the one of the setup's source, unless it is trained at the target."""
        at_source = wildcards.method in (*self.scratch, *self.pooled)
        return self.source_model(wildcards) if at_source else super().model(wildcards)

    def stores(self, wildcards: Any) -> list[str]:
        """Stores of all clients of a setup with labels."""
        return [self._config.layout.client(wildcards.setup, name, "data") for name in self._everyone(wildcards.setup)]

    def labels_planned(self, wildcards: Any) -> list[str]:
        """Which labels of a client a plan is made of, as JSON."""
        return [self._planned(wildcards.setup, wildcards.client)]

    def labels_pooled(self, wildcards: Any) -> list[str]:
        """Which labels of each of :meth:`stores` a plan is made of, as JSON."""
        return [self._planned(wildcards.setup, name) for name in self._everyone(wildcards.setup)]

    def source_model(self, wildcards: Any, method: str | None = None) -> str:
        """The model that a method, that of the cell by default, has at the setup's source."""
        return self._cell(wildcards, self._source(wildcards), method or wildcards.method, "model")

    def prediction(self, wildcards: Any) -> dict[str, bool]:
        """Whether the prediction averages over flips."""
        return self.flips(wildcards.method, wildcards.setup)

    def flips(self, method: str, setup: str) -> dict[str, bool]:
        """Whether predictions by a method's model average over flips."""
        return {"mirroring": self.of(method, setup).test_time_mirroring}

    def threads(self, wildcards: Any) -> int:
        """Cores of a training: its own, those of its workers, and of half as many for its validation."""
        workers = self._of(wildcards).workers
        return 1 + workers + (workers + 1) // 2

    def memory(self, wildcards: Any, attempt: int) -> int:
        """MB of a training, more after a failure."""
        return (4000 + 500 * self._of(wildcards).workers) * attempt

    def _everyone(self, setup: str) -> list[str]:
        return [self._config.setups[setup].source, *self._config.setups[setup].targets]

    def _planned(self, setup: str, client: str) -> str:
        return (SOURCE if client == self._config.setups[setup].source else TRAINING).to_json()

    def _of(self, wildcards: Any) -> NnunetParameters:
        return self.of(wildcards.method, wildcards.setup)


class OnSourceModel(Cells):
    """The rows of another method that need a source's nnU-Net: the one of the row that their ``base`` names."""

    def __init__(self, config: Config, project: Path, declared: Method) -> None:
        self._nnunet = methods()["nnunet"].open(config, project)
        super().__init__(config, project, declared)

    def _check(self) -> None:
        for name, own in self.parameters.items():
            for p in own.values():
                self._nnunet.check_source_model(name, p.base)

    def prediction(self, wildcards: Any) -> dict[str, bool]:
        """That nnU-Net's own."""
        return self._nnunet.flips(self._base(wildcards), wildcards.setup)

    def _source_model(self, wildcards: Any) -> str:
        return self._nnunet.source_model(wildcards, self._base(wildcards))

    def _base(self, wildcards: Any) -> str:
        return self.of(wildcards.method, wildcards.setup).base
