"""Federated training of FedDG for one target, and the model that comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fedfactory.config.parameters import read
from fedfactory.errors import FedFactoryError
from fedfactory.federation.client import TRAIN, Message
from fedfactory.federation.message import WEIGHTS, Allowlist
from fedfactory.federation.server import Server
from fedfactory.methods.contract import Trained
from fedfactory.methods.feddg import client as feddg_client
from fedfactory.methods.feddg.amplitude import half_width
from fedfactory.methods.feddg.client import AMPLITUDES, LOOKS, OTHERS, FedDGClient
from fedfactory.methods.feddg.parameters import FedDGParameters
from fedfactory.methods.federated.cell import FederatedCell
from fedfactory.methods.federated.segmentation import (
    UNetSegmenter,
    card_of,
    initial_network,
    read_segmenter,
    rounds_of,
)
from fedfactory.orchestration.progress import Progress
from fedfactory.training.devices import prepare


class FedDGServer(Server):
    """The server: it averages models, and hands every client the others' shares of the amplitude bank."""

    phases = (LOOKS, TRAIN)

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


def train_feddg(cell: FederatedCell, classes: int, out: Path, progress: Progress) -> None:
    """Train, or go on from the last checkpoint; see :meth:`~fedfactory.methods.federated.cell.FederatedCell.train`.

    Args:
        cell: what to train.
        classes: foreground classes.
        out: folder of the model.
        progress: updated after every round.

    Raises:
        FedFactoryError: fewer than two clients, bad data at one, or one that does not answer.
    """
    p, clients = read(FedDGParameters, cell.parameters, cell.key), tuple(cell.stores)
    if len(clients) < 2:
        raise FedFactoryError("FedDG needs two labelled clients beside the target: looks are exchanged between them")
    weights, b = initial_network(p, classes, cell.seed).state_dict(), half_width(p.image_size, p.window)
    fields: dict[str, Any] = {WEIGHTS: weights, AMPLITUDES: torch.zeros(p.bank, 2 * b + 1, 2 * b + 1)}
    server = FedDGServer(rounds_of(p, cell, FedDGClient.advice), weights, Allowlist.of(clients, **fields), cell.seed)
    cell.train(server, feddg_client.__name__, out, card_of(FedDGParameters, cell, classes), progress)


def segmenter(trained: Trained) -> UNetSegmenter:
    """The segmenter of a cell."""
    return read_segmenter(trained.model, FedDGParameters, "feddg_train", prepare(trained.device))
