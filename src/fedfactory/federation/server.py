"""The server: it holds the model between rounds, and averages what clients make of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fedfactory.errors import FedFactoryError
from fedfactory.federation.aggregation import uniform_mean
from fedfactory.federation.client import TRAIN, Message
from fedfactory.federation.message import WEIGHTS, Allowlist
from fedfactory.federation.sampling import sample_clients


@dataclass(frozen=True)
class Rounds:
    """How long a federation trains, and with whom.

    Attributes:
        clients: names of the clients.
        total: number of rounds.
        clients_per_round: how many train in each.
        checkpoint_every: rounds from one checkpoint to the next.
        deadline: seconds until a silent client is given up.
        key: where the configuration says so, for messages.
        advice: what to do when a training diverges, for messages.
    """

    clients: tuple[str, ...]
    total: int
    clients_per_round: int
    checkpoint_every: int
    deadline: int
    key: str
    advice: str


class Server:
    """The state of a training at the server.

    Attributes:
        rounds: how long, and with whom.
        phases: of each round; clients answer in every one of them.
        round_number: the next round, counted from 0.
        weights: the aggregated model's state dict.
        allowlist: all that may cross a client's border.
    """

    phases: tuple[str, ...] = (TRAIN,)

    def __init__(self, rounds: Rounds, weights: Mapping[str, Tensor], allowlist: Allowlist, seed: int) -> None:
        """Start a training with a model's initial weights."""
        self.rounds, self.seed, self.allowlist = rounds, seed, allowlist
        self.round_number = 0
        self.weights = dict(weights)

    @property
    def finished(self) -> bool:
        """Whether all rounds are done."""
        return self.round_number >= self.rounds.total

    @property
    def checkpoint_due(self) -> bool:
        """Whether a checkpoint belongs after the round that was just accepted."""
        return self.round_number % self.rounds.checkpoint_every == 0 or self.finished

    def sampled(self) -> list[int]:
        """Clients of the next round, ascending."""
        return sample_clients(self.seed, self.round_number, len(self.rounds.clients), self.rounds.clients_per_round)

    def message(self, phase: str, client: int, answers: Mapping[str, Mapping[int, Message]]) -> Message:
        """What a client is sent in a phase: in federated averaging the model.

        Args:
            phase: of the round.
            client: index of the client.
            answers: of the round's earlier phases, by phase and client.
        """
        return {WEIGHTS: self.weights}

    def accept(self, models: Mapping[int, Mapping[str, Tensor]]) -> None:
        """Finish a round: average the clients' models.

        Raises:
            FedFactoryError: a client's weights are not finite; the last checkpoint is from before.
        """
        mean = uniform_mean([models[index] for index in sorted(models)])
        # A mean is finite only if all of its parts are; which one is not matters only then.
        if not _finite(mean):
            culprit = next(index for index in sorted(models) if not _finite(models[index]))
            raise FedFactoryError(
                f"client {self.rounds.clients[culprit]} sent weights that are not finite after round "
                f"{self.round_number}: its training diverged; {self.rounds.advice}"
            )
        self.weights = mean
        self.round_number += 1

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next round depends on."""
        return {"round_number": self.round_number, "weights": self.weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where :meth:`state_dict` was taken."""
        self.round_number, self.weights = state["round_number"], dict(state["weights"])


def _finite(weights: Mapping[str, Tensor]) -> bool:
    return all(bool(torch.isfinite(value).all()) for value in weights.values())
