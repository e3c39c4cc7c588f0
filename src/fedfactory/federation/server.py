"""The server: it holds the model between rounds, and averages what clients make of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from torch import Tensor

from fedfactory.errors import FedFactoryError
from fedfactory.federation.aggregation import RULES, Rule
from fedfactory.federation.client import TRAIN, Message
from fedfactory.federation.message import WEIGHTS, Allowlist
from fedfactory.federation.sampling import sample_clients
from fedfactory.federation.updates import FAR, UPDATES, Update, far_off, norm_of, updates, write_updates


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
        aggregation: how the models of a round become one.
    """

    clients: tuple[str, ...]
    total: int
    clients_per_round: int
    checkpoint_every: int
    deadline: int
    key: str
    advice: str
    aggregation: Rule = "mean"


class Server:
    """The state of a training at the server.

    Attributes:
        rounds: how long, and with whom.
        phases: of each round; clients answer in every one of them.
        round_number: the next round, counted from 0.
        weights: the aggregated model's state dict.
        allowlist: all that clients may send.
    """

    phases: tuple[str, ...] = (TRAIN,)

    def __init__(self, rounds: Rounds, weights: Mapping[str, Tensor], allowlist: Allowlist, seed: int) -> None:
        """Start a training with a model's initial weights."""
        self.rounds, self.seed, self.allowlist = rounds, seed, allowlist
        self.round_number = 0
        self.weights = dict(weights)
        self._updates: list[tuple[int, dict[str, Update]]] = []

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

    def allowlist_of(self, client: str) -> Allowlist:
        """All that may cross this client's border, in either direction."""
        return self.allowlist

    def answered(self, phase: str) -> tuple[str, ...]:
        """Fields of a client's answer in a phase; in the last one the weights are among them."""
        return (WEIGHTS,)

    def accept(self, models: Mapping[int, Mapping[str, Tensor]]) -> None:
        """Finish a round: the clients' models become one.

        Raises:
            FedFactoryError: a client's weights are not finite, or far from all others'; the last checkpoint is from
                before.
        """
        named = {self.rounds.clients[index]: models[index] for index in sorted(models)}
        found = updates(named, self.weights)
        self._refuse(found)
        # One order, whichever engine they came by: files have the same bytes.
        self.weights = dict(sorted(RULES[self.rounds.aggregation](list(named.values())).items()))
        self._updates.append((self.round_number, found))
        self.round_number += 1

    def write_updates(self, folder: Path) -> None:
        """Write down how each client moved the model in each round, into an existing folder."""
        write_updates(folder / UPDATES, self.rounds.clients, self._updates)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next round depends on."""
        rounds = [(number, {name: asdict(update) for name, update in found.items()}) for number, found in self._updates]
        return {"round_number": self.round_number, "weights": self.weights, "updates": rounds}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where :meth:`state_dict` was taken."""
        self.round_number, self.weights = state["round_number"], dict(state["weights"])
        self._updates = [
            (number, {name: Update(**update) for name, update in found.items()}) for number, found in state["updates"]
        ]

    def _refuse(self, found: Mapping[str, Update]) -> None:
        """Refuse what would spoil the model; the client is named."""
        for client, update in found.items():
            if not isfinite(update.norm):
                raise FedFactoryError(
                    f"client {client} sent weights that are not finite after round {self.round_number}: its training "
                    f"diverged; {self.rounds.advice}"
                )
        far = far_off({name: update.norm for name, update in found.items()}, norm_of(self.weights))
        if far is not None:
            raise FedFactoryError(
                f"client {far} moved the model by {found[far].norm:.3g} in round {self.round_number}, more than "
                f"{FAR} times as far as the others, and further than to start anew: its training diverged "
                f"({self.rounds.advice}), or it sends something else than what it trained"
            )
