"""Federated averaging of a U-Net, and the model that comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedfactory.config.parameters import read
from fedfactory.data.store import ClientView
from fedfactory.federation.message import WEIGHTS, Allowlist
from fedfactory.federation.server import Server
from fedfactory.methods.contract import Trained
from fedfactory.methods.federated.cell import FederatedCell
from fedfactory.methods.federated.parameters import SegmentationParameters
from fedfactory.methods.federated.segmentation import (
    LabelledSlices,
    SegmentationClient,
    UNetSegmenter,
    card_of,
    initial_weights,
    read_segmenter,
    rounds_of,
)
from fedfactory.orchestration.labels import TRAINING
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
    p = read(SegmentationParameters, cell.parameters, cell.key)
    weights = initial_weights(p, classes, cell.seed)
    allowlist = Allowlist.of(tuple(cell.stores), **{WEIGHTS: weights})
    server = Server(rounds_of(p, cell, SegmentationClient.advice), weights, allowlist, cell.seed)
    cell.train(server, __name__, out, card_of(SegmentationParameters, cell, classes), progress)


def open_client(client: str, arguments: Mapping[str, Any], seed: int, device: str) -> SegmentationClient:
    """Open a client's store.

    Args:
        client: its name.
        arguments: its store (``data``), the names of all ``clients``, and ``parameters``.
        seed: of the training.
        device: ``cpu`` or ``cuda``.

    Raises:
        FedFactoryError: bad data.
    """
    p = read(SegmentationParameters, arguments["parameters"], "parameters")
    view = ClientView(Path(arguments["data"]), TRAINING)
    slices = LabelledSlices.of(view, client, p, seed)
    return SegmentationClient(client, arguments["clients"], slices, len(view.classes), p, seed, device)


def segmenter(trained: Trained) -> UNetSegmenter:
    """The segmenter of a cell."""
    return read_segmenter(trained.model, SegmentationParameters, "fedavg_train", prepare(trained.device))
