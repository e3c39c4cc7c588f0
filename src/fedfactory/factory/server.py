"""The server of the factory: beside the model it holds the averaged generator that becomes the factory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fedfactory.factory.client import factory_allowlist
from fedfactory.factory.model import snapshot_name
from fedfactory.factory.networks import FactoryModel
from fedfactory.factory.parameters import FactoryParameters
from fedfactory.federation.server import Rounds, Server
from fedfactory.storage.files import new_file
from fedfactory.storage.tensors import write_tensors
from fedfactory.training.seeds import derive_seed

_GENERATOR, _DISCRIMINATOR = "generator", "discriminator"


class FactoryServer(Server):
    """The state of a training at the server.

    The averaged (EMA) generator is kept here and never sent back: it would double what travels.

    Attributes:
        parameters: of the factory.
        folder: for snapshots.
        ema: state dict of the averaged generator.
    """

    def __init__(self, parameters: FactoryParameters, seed: int, folder: Path) -> None:
        """Start a training: the model is initialised from the seed.

        Args:
            parameters: of the factory.
            seed: of the training.
            folder: for snapshots; made where missing.
        """
        weights = initial_weights(parameters, seed)
        super().__init__(_rounds(parameters), weights, factory_allowlist(parameters, weights), seed)
        self.parameters, self.folder = parameters, folder
        self.ema = {name: value.clone() for name, value in _part(self.weights, _GENERATOR).items()}
        folder.mkdir(parents=True, exist_ok=True)
        self._snapshot()

    def accept(self, models: Mapping[int, Mapping[str, Tensor]]) -> None:
        """Finish a round: average the clients' models, then the generator over time."""
        p = self.parameters
        turns = p.training.generator_turns(p.federation.local_steps_of(self.round_number))
        super().accept(models)
        decay = p.training.ema**turns
        for name, value in _part(self.weights, _GENERATOR).items():
            self.ema[name] = torch.lerp(value, self.ema[name], decay)
        self._snapshot()

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next round depends on."""
        return {**super().state_dict(), "ema": self.ema}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where :meth:`state_dict` was taken."""
        super().load_state_dict(state)
        self.ema = dict(state["ema"])

    def discriminator(self) -> dict[str, Tensor]:
        """State dict of the last discriminator."""
        return _part(self.weights, _DISCRIMINATOR)

    def _snapshot(self) -> None:
        if self.round_number in snapshot_rounds(self.parameters):
            with new_file(self.folder / "snapshots" / snapshot_name(self.round_number)) as file:
                write_tensors(self.ema, file)


def initial_weights(parameters: FactoryParameters, seed: int) -> dict[str, Tensor]:
    """The state dict that a training starts from; the same for both engines."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("initialise", seed))
        return {name: value.clone() for name, value in FactoryModel(parameters.network).state_dict().items()}


def snapshot_rounds(parameters: FactoryParameters) -> list[int]:
    """Rounds after which the averaged generator is kept: 0 (untrained) first, the last round last."""
    total, count = parameters.federation.total_rounds, max(2, parameters.federation.snapshots)
    return sorted({round(step * total / (count - 1)) for step in range(count)})


def _rounds(parameters: FactoryParameters) -> Rounds:
    p = parameters.federation
    return Rounds(
        parameters.clients,
        p.total_rounds,
        p.clients_per_round,
        p.checkpoint_every,
        p.deadline,
        key="factory.federation",
        advice="lower 'factory.training.learning_rate' or raise 'r1'",
        aggregation=p.aggregation,
    )


def _part(weights: Mapping[str, Tensor], network: str) -> dict[str, Tensor]:
    prefix = f"{network}."
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
