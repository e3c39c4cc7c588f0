"""Federated averaging of a U-Net, and the model that comes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fedfactory.config.parameters import read
from fedfactory.federation.message import WEIGHTS, Allowlist
from fedfactory.federation.server import Server
from fedfactory.methods.contract import Trained
from fedfactory.methods.fedavg import client
from fedfactory.methods.fedavg.client import shared
from fedfactory.methods.fedavg.parameters import FedAvgParameters
from fedfactory.methods.federated.cell import FederatedCell
from fedfactory.methods.federated.segmentation import (
    SegmentationClient,
    UNetSegmenter,
    card_of,
    initial_network,
    read_segmenter,
    rounds_of,
)
from fedfactory.orchestration.progress import Progress
from fedfactory.training.devices import prepare


def train_fedavg(cell: FederatedCell, classes: int, out: Path, progress: Progress) -> None:
    """Train, or go on from the last checkpoint; see :meth:`~fedfactory.methods.federated.cell.FederatedCell.train`.

    Args:
        cell: what to train.
        classes: foreground classes.
        out: folder of the model.
        progress: updated after every round.

    Raises:
        FedFactoryError: bad data at a client, or one that does not answer.
    """
    p = read(FedAvgParameters, cell.parameters, cell.key)
    weights = shared(initial_network(p, classes, cell.seed), p)
    allowlist = Allowlist.of(tuple(cell.stores), **{WEIGHTS: weights})
    rounds = replace(rounds_of(p, tuple(cell.stores), cell.key, SegmentationClient.advice), aggregation=p.aggregation)
    server = Server(rounds, weights, allowlist, cell.seed)
    cell.train(server, client.__name__, out, card_of(FedAvgParameters, cell, classes), progress)


def segmenter(trained: Trained) -> UNetSegmenter:
    """The segmenter of a cell."""
    own = trained.parameters.get("own")
    return read_segmenter(trained.model, FedAvgParameters, "fedavg_train", prepare(trained.device), own)
