"""Which model makes which cell, worked out from the configuration for rules/nnunet.smk."""

from typing import Any

from fedfactory.config.parameters import read
from fedfactory.config.run import Config
from fedfactory.errors import FedFactoryError
from fedfactory.methods.nnunet.parameters import NnunetParameters


class NnunetCells:
    """The nnU-Net methods of a run.

    Attributes:
        parameters: checked parameters of every nnU-Net method.
        tuned: names of the methods that fine-tune another one's source model.
        scratch: names of the methods that are trained on the source alone.
    """

    def __init__(self, config: Config) -> None:
        """Check the parameters of all methods with ``rules: nnunet``.

        Raises:
            FedFactoryError: bad parameters, or a ``base`` that is no nnU-Net trained on the source.
        """
        self._config = config
        self.parameters = {
            method.name: read(NnunetParameters, method.parameters, f"methods.{method.name}.parameters", config.file)
            for method in config.methods.values()
            if method.rules == "nnunet"
        }
        self.tuned = [name for name, parameters in self.parameters.items() if parameters.base]
        self.scratch = [name for name in self.parameters if name not in self.tuned]
        for name in self.tuned:
            base = self.parameters[name].base
            if base not in self.scratch:
                known = ", ".join(self.scratch)
                raise FedFactoryError(
                    f"{self._key(name)}.base: '{base}' is no nnU-Net trained on the source; known are {known}"
                )
        for name in self.parameters:
            if config.methods[name].uses_mt != (name in self.tuned):
                raise FedFactoryError(
                    f"{config.file}: key 'methods.{name}.uses_mt': an nnU-Net uses M_t if, and only if, it has a 'base'"
                )

    def base_model(self, wildcards: Any) -> str:
        """The source model that a fine-tuned method starts from."""
        base = self.parameters[wildcards.method].base
        assert base is not None, "the rule is for methods with a base"
        return self._source_model(wildcards, base)

    def model(self, wildcards: Any) -> str:
        """The model that predicts a cell: its own if fine-tuned, else the one of the setup's source."""
        if wildcards.method in self.tuned:
            cell = (wildcards.setup, wildcards.client, wildcards.method, wildcards.seed)
            return self._config.layout.cell(*cell, "model")
        return self._source_model(wildcards, wildcards.method)

    def mirroring(self, wildcards: Any) -> str:
        """Command-line switch of the prediction."""
        return "--mirroring" if self.parameters[wildcards.method].test_time_mirroring else ""

    def threads(self, wildcards: Any) -> int:
        """Cores of a training: its own, those of its workers, and of half as many for its validation."""
        workers = self.parameters[wildcards.method].workers
        return 1 + workers + (workers + 1) // 2

    def memory(self, wildcards: Any, attempt: int) -> int:
        """MB of a training, more after a failure."""
        return (4000 + 500 * self.parameters[wildcards.method].workers) * attempt

    def _source_model(self, wildcards: Any, method: str) -> str:
        source = self._config.setups[wildcards.setup].source
        return self._config.layout.cell(wildcards.setup, source, method, wildcards.seed, "model")

    def _key(self, name: str) -> str:
        return f"{self._config.file}: key 'methods.{name}.parameters'"
