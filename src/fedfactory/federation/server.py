"""The aggregator: it holds the model between rounds, and the averaged generator that becomes the factory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fedfactory.errors import FedFactoryError
from fedfactory.factory.model import snapshot_name
from fedfactory.factory.networks import FactoryModel
from fedfactory.factory.parameters import FactoryParameters
from fedfactory.federation.aggregation import uniform_mean
from fedfactory.federation.sampling import sample_clients
from fedfactory.files import new_file
from fedfactory.seeds import derive_seed

_GENERATOR = "generator."


class Server:
    """The state of a training at the aggregator.

    The averaged (EMA) generator is kept here and never sent back: it would double what travels.

    Attributes:
        round_number: the next round, counted from 0.
        weights: the aggregated model's state dict.
        ema: state dict of the averaged generator.
    """

    def __init__(self, parameters: FactoryParameters, seed: int, folder: Path) -> None:
        """Start a training: the model is initialised from the seed.

        Args:
            parameters: of the factory.
            seed: of the training.
            folder: for checkpoints and snapshots; made where missing.
        """
        self.parameters, self.seed, self.folder = parameters, seed, folder
        self.round_number = 0
        self.weights = initial_weights(parameters, seed)
        self.ema = {name: value.clone() for name, value in _generator(self.weights).items()}
        folder.mkdir(parents=True, exist_ok=True)
        self._snapshot()

    @property
    def finished(self) -> bool:
        """Whether all rounds of both stages are done."""
        return self.round_number >= self.parameters.federation.total_rounds

    def sampled(self) -> list[int]:
        """Clients of the next round, ascending."""
        count = self.parameters.federation.clients_per_round
        return sample_clients(self.seed, self.round_number, len(self.parameters.clients), count)

    def accept(self, models: Mapping[int, Mapping[str, Tensor]]) -> None:
        """Finish a round: average the clients' models, then the generator over time.

        Raises:
            FedFactoryError: a client's weights are not finite; the last checkpoint is from before.
        """
        for index in sorted(models):
            if not all(torch.isfinite(value).all() for value in models[index].values()):
                raise FedFactoryError(
                    f"client {self.parameters.clients[index]} sent weights that are not finite after round "
                    f"{self.round_number}: its training diverged; lower 'factory.training.learning_rate' or raise 'r1'"
                )
        self.weights = uniform_mean([models[index] for index in sorted(models)])
        decay = self.parameters.training.ema ** self.parameters.federation.local_steps_of(self.round_number)
        for name, value in _generator(self.weights).items():
            self.ema[name] = torch.lerp(value, self.ema[name], decay)
        self.round_number += 1
        self._snapshot()

    @property
    def checkpoint_due(self) -> bool:
        """Whether a checkpoint belongs after the round that was just accepted."""
        return self.round_number % self.parameters.federation.checkpoint_every == 0 or self.finished

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next round depends on."""
        return {"round_number": self.round_number, "weights": self.weights, "ema": self.ema}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where :meth:`state_dict` was taken."""
        self.round_number, self.weights, self.ema = state["round_number"], dict(state["weights"]), dict(state["ema"])

    def _snapshot(self) -> None:
        if self.round_number in snapshot_rounds(self.parameters):
            with new_file(self.folder / "snapshots" / snapshot_name(self.round_number)) as file:
                torch.save(self.ema, file)


def initial_weights(parameters: FactoryParameters, seed: int) -> dict[str, Tensor]:
    """The state dict that a training starts from; the same for both engines."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("initialise", seed))
        return {name: value.clone() for name, value in FactoryModel(parameters.network).state_dict().items()}


def snapshot_rounds(parameters: FactoryParameters) -> list[int]:
    """Rounds after which the averaged generator is kept: 0 (untrained) first, the last round last."""
    total, count = parameters.federation.total_rounds, max(2, parameters.federation.snapshots)
    return sorted({round(step * total / (count - 1)) for step in range(count)})


def _generator(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(_GENERATOR): value for name, value in weights.items() if name.startswith(_GENERATOR)}
