"""The server of FedMed-GAN; for Fed-BioMed as well (:mod:`fedfactory.federation.engines.fedbiomed.trained`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fedfactory.config.parameters import read
from fedfactory.federation.client import Message
from fedfactory.federation.message import WEIGHTS, Allowlist
from fedfactory.federation.server import Rounds, Server
from fedfactory.methods.federated.nodes import names_announced, only_names_announced
from fedfactory.methods.fedmedgan.client import GRADIENT, TRANSLATED, FedMedGanClient, answered, phases_of
from fedfactory.methods.fedmedgan.networks import make_generators
from fedfactory.methods.fedmedgan.parameters import FedMedGanParameters
from fedfactory.training.seeds import derive_seed

loss_columns = FedMedGanClient.loss_columns
announcement, check_announced = names_announced, only_names_announced


class FedMedGanServer(Server):
    """The server: it averages generators, and carries translated images and gradients from one to the other.

    Args:
        rounds: how long, and with whom.
        weights: of the generators.
        allowlist: all that may cross a client's border.
        seed: of the training.
        local_steps: steps of a round.
    """

    def __init__(
        self, rounds: Rounds, weights: Mapping[str, Tensor], allowlist: Allowlist, seed: int, local_steps: int
    ) -> None:
        super().__init__(rounds, weights, allowlist, seed)
        self.phases = phases_of(local_steps)

    def answered(self, phase: str) -> tuple[str, ...]:
        """Translated images, gradients by them, and at the end the weights."""
        return (answered(phase),)

    def message(self, phase: str, client: int, answers: Mapping[str, Mapping[int, Message]]) -> Message:
        """The model first, then what the other client answered in the phase before."""
        place = self.phases.index(phase)
        if place == 0:
            return super().message(phase, client, answers)
        return answers[self.phases[place - 1]][1 - client]


def open_server(arguments: Mapping[str, Any], seed: int, work: Path) -> FedMedGanServer:
    """The server before the first round.

    Args:
        arguments: names of both ``clients``, the source first, ``size``, the edge of the images, and ``parameters``
            with the ``key`` where they stand in the configuration.
        seed: of the training.
        work: not needed.
    """
    p, key, size = (
        read(FedMedGanParameters, arguments["parameters"], arguments["key"]),
        arguments["key"],
        arguments["size"],
    )
    clients, weights, batch = tuple(arguments["clients"]), initial_weights(p, seed), torch.zeros(p.batch, 1, size, size)
    rounds = Rounds(
        clients, p.rounds, len(clients), p.checkpoint_every, p.deadline, key, f"lower '{key}.learning_rate'"
    )
    fields: dict[str, Any] = {WEIGHTS: weights, TRANSLATED: batch, GRADIENT: batch}
    return FedMedGanServer(rounds, weights, Allowlist.of(clients, **fields), seed, p.local_steps)


def initial_weights(p: FedMedGanParameters, seed: int) -> dict[str, Tensor]:
    """The state dict that a training starts from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("initialise", seed))
        return {name: value.clone() for name, value in make_generators(p).state_dict().items()}


def training_plan() -> type:
    """The class whose text is sent to the clients."""
    # Imports Fed-BioMed, which only the researcher's process does.
    from fedfactory.methods.fedmedgan.shipped import FedMedGanTrainingPlan

    return FedMedGanTrainingPlan
