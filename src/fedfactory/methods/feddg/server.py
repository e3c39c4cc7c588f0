"""The server of FedDG; for Fed-BioMed as well (:mod:`fedfactory.federation.engines.fedbiomed.trained`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from fedfactory.config.parameters import read
from fedfactory.federation.client import TRAIN, Message
from fedfactory.federation.message import WEIGHTS, Allowlist
from fedfactory.federation.server import Server
from fedfactory.methods.feddg.amplitude import half_width
from fedfactory.methods.feddg.client import AMPLITUDES, LOOKS, OTHERS, FedDGClient
from fedfactory.methods.feddg.parameters import FedDGParameters
from fedfactory.methods.federated.nodes import names_announced, only_names_announced
from fedfactory.methods.federated.segmentation import initial_network, rounds_of

loss_columns = FedDGClient.loss_columns
announcement, check_announced = names_announced, only_names_announced


class FedDGServer(Server):
    """The server: it averages models, and hands every client the others' shares of the amplitude bank."""

    phases = (LOOKS, TRAIN)

    def allowlist_of(self, client: str) -> Allowlist:
        """With the shares of all others."""
        (share,) = self.allowlist.fields[AMPLITUDES]
        others = tuple(replace(share, name=name) for name in sorted(self.rounds.clients) if name != client)
        return replace(self.allowlist, fields={**self.allowlist.fields, OTHERS: others})

    def answered(self, phase: str) -> tuple[str, ...]:
        """A share of the bank; then the weights."""
        return (AMPLITUDES,) if phase == LOOKS else super().answered(phase)

    def message(self, phase: str, client: int, answers: Mapping[str, Mapping[int, Message]]) -> Message:
        """Nothing at first; then the model, and what the others gave."""
        if phase == LOOKS:
            return {}
        names = self.rounds.clients
        others = {names[i]: answer[AMPLITUDES][AMPLITUDES] for i, answer in answers[LOOKS].items() if i != client}
        return {**super().message(phase, client, answers), OTHERS: others}


def open_server(arguments: Mapping[str, Any], seed: int, work: Path) -> FedDGServer:
    """The server before the first round.

    Args:
        arguments: names of all ``clients``, foreground ``classes``, and ``parameters`` with the ``key`` where they
            stand in the configuration.
        seed: of the training.
        work: not needed.
    """
    p, key = read(FedDGParameters, arguments["parameters"], arguments["key"]), arguments["key"]
    weights, b = initial_network(p, arguments["classes"], seed).state_dict(), half_width(p.image_size, p.window)
    fields: dict[str, Any] = {WEIGHTS: weights, AMPLITUDES: torch.zeros(p.bank, 2 * b + 1, 2 * b + 1)}
    rounds = rounds_of(p, arguments["clients"], key, FedDGClient.advice)
    return FedDGServer(rounds, weights, Allowlist.of(rounds.clients, **fields), seed)


def training_plan() -> type:
    """The class whose text is sent to the clients."""
    # Imports Fed-BioMed, which only the researcher's process does.
    from fedfactory.methods.feddg.shipped import FedDGTrainingPlan

    return FedDGTrainingPlan
