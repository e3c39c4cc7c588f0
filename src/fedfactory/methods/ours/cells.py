"""Which job makes which part of which cell, worked out from the configuration for rules/methods/ours.smk."""

import json
from collections.abc import Mapping
from typing import Any

from fedfactory.config.parameters import LIKE
from fedfactory.errors import FedFactoryError
from fedfactory.methods.cells import Cells, key_of
from fedfactory.methods.ours.parameters import OursParameters

# What a method has that trains a source branch of its own.
_OF_A_BRANCH = ("source", "synthetic", "look")


class OursCells(Cells):
    """The adaptation methods of a run.

    Attributes:
        sources: names of the methods that have a source branch of their own.
    """

    def _check(self) -> None:
        config = self._config
        self._bases = {name: self.same(name, "base") for name in self.parameters}
        self.sources = [name for name, own in self.parameters.items() if all(p.source for p in own.values())]
        if self.parameters and not config.factory:
            raise FedFactoryError(
                f"key 'methods.{next(iter(self.parameters))}' adapts from the data factory, and the run has none; add "
                "the section 'factory'"
            )
        for name, own in self.parameters.items():
            for parameters in own.values():
                self._check_method(name, parameters)
        for setup in config.setups.values():
            if self.parameters and not setup.clients[setup.source].federated:
                raise FedFactoryError(f"setup {setup.name}: the source {setup.source} must be federated: F renders it")

    def _check_method(self, name: str, parameters: OursParameters) -> None:
        method, target = self._config.methods[name], parameters.target
        if parameters.base and parameters.base not in self.sources:
            raise FedFactoryError(
                f"key '{key_of(name)}.base': '{parameters.base}' is no adaptation method with a 'source' of its own; "
                f"known are {', '.join(self.sources)}"
            )
        if method.centralised != (target.source_samples == "real"):
            raise FedFactoryError(
                f"key 'methods.{name}.centralised': an adaptation is centralised if, and only if, its source "
                "samples are 'real'"
            )

    def base(self, method: str) -> str:
        """The method whose source branch a method uses; itself if it has one."""
        return self._bases[method] or method

    def source_json(self, wildcards: Any) -> str:
        """Parameters of a source branch for a script's command line."""
        return self._section(wildcards, "source")

    def synthetic_json(self, wildcards: Any) -> str:
        """Parameters of the synthetic source set."""
        return self._section(wildcards, "synthetic")

    def look_json(self, wildcards: Any) -> str:
        """Parameters of the learning of a look, with the factory and the perceptual loss of the source branch."""
        branch = self._branch(wildcards)
        variant = self.of(wildcards.method, wildcards.setup).source.factory
        own = {"look": self._values(wildcards.method, wildcards.setup)["look"]}
        return json.dumps({**own, "perceptual": branch["perceptual"], "factory": variant})

    def target_json(self, wildcards: Any) -> str:
        """Parameters of a method's adaptation, with the perceptual loss of its source branch."""
        own = {"target": self._values(wildcards.method, wildcards.setup)["target"]}
        return json.dumps({**own, "perceptual": self._branch(wildcards)["perceptual"]})

    def _branch(self, wildcards: Any) -> dict[str, Any]:
        """Parameters of the source branch that a method uses, as they stand in the configuration."""
        return self._values(self.base(wildcards.method), wildcards.setup)["source"]

    def results(self) -> list[str]:
        """What each source found that its branch and its synthetic set give away; nothing unless it is asked for."""
        places = [(setup.name, setup.source) for setup in self._config.setups.values() if self._config.privacy]
        cells = [(*place, name, seed) for place in places for name in self.sources for seed in self._config.seeds]
        return [self._config.layout.cell(*cell, "privacy.csv") for cell in cells]

    def shared(self, wildcards: Any, name: str) -> str:
        """What the source's jobs leave for a method's adaptations: ``branch`` or ``synthetic``."""
        return self._cell(wildcards, self._source(wildcards), self.base(wildcards.method), name)

    def look(self, wildcards: Any) -> list[str]:
        """The look of a target outside the federation; nothing for one that the factory knows."""
        if self._config.setups[wildcards.setup].clients[wildcards.client].federated:
            return []
        return [self._cell(wildcards, wildcards.client, self.base(wildcards.method), "look")]

    def centralised(self, wildcards: Any) -> list[str]:
        """The source's store, for a method that is declared centralised."""
        if self.parameters[wildcards.method][wildcards.setup].target.source_samples == "synthetic":
            return []
        return [self._config.layout.client(wildcards.setup, self._source(wildcards), "data")]

    def with_model(self, wildcards: Any) -> list[str]:
        """The factory, through which the branches read."""
        return [self._config.layout.factory(wildcards.setup, wildcards.seed, "model")]

    def prediction(self, wildcards: Any) -> dict[str, Any]:
        """None: all that the prediction needs stands in the model's folder."""
        return {}

    def seed_name(self, wildcards: Any) -> str:
        """The method that seeds derive from: an ablation draws what the method that it is like draws."""
        return self._config.methods[wildcards.method].parameters.get(LIKE, wildcards.method)

    @property
    def memory_mb(self) -> int:
        """Memory in MB of an adaptation job: networks as in the factory's training, and all of a client's slices."""
        share = (self._config.preprocessing["image_size"] / 512) ** 2
        return round(2000 + 16000 * share)

    def _section(self, wildcards: Any, name: str) -> str:
        return json.dumps(self._values(wildcards.method, wildcards.setup)[name])

    def _over(self, other: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
        """With the source branch of a third one, nothing of the other's branch holds."""
        dropped = _OF_A_BRANCH if "base" in own else ()
        return super()._over({name: value for name, value in other.items() if name not in dropped}, own)
