"""Federated training of FedDG for one target, and the model that comes of it."""

from __future__ import annotations

from pathlib import Path

from fedfactory.config.parameters import read
from fedfactory.errors import FedFactoryError
from fedfactory.methods.contract import Trained
from fedfactory.methods.feddg import client as feddg_client
from fedfactory.methods.feddg import nodes, server
from fedfactory.methods.feddg.parameters import FedDGParameters
from fedfactory.methods.federated.cell import FederatedCell
from fedfactory.methods.federated.nodes import Nodes
from fedfactory.methods.federated.segmentation import UNetSegmenter, card_of, read_segmenter
from fedfactory.orchestration.progress import Progress
from fedfactory.training.devices import prepare


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
    if len(cell.stores) < 2:
        raise FedFactoryError("FedDG needs two labelled clients beside the target: looks are exchanged between them")
    p, arguments = read(FedDGParameters, cell.parameters, cell.key), cell.arguments(classes=classes)
    start, card = server.open_server(arguments, cell.seed, cell.work), card_of(FedDGParameters, cell, classes)
    at_nodes = Nodes.of(p, server.__name__, nodes.__name__, arguments)
    cell.train(start, feddg_client.__name__, out, card, progress, at_nodes)


def segmenter(trained: Trained) -> UNetSegmenter:
    """The segmenter of a cell."""
    return read_segmenter(trained.model, FedDGParameters, "feddg_train", prepare(trained.device))
