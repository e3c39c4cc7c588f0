"""Federated training of FedDG for one target, and the model that comes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from fedfactory.config.parameters import in_order, read
from fedfactory.errors import FedFactoryError
from fedfactory.federation.client import TRAIN, Message
from fedfactory.federation.message import WEIGHTS, Allowlist
from fedfactory.federation.server import Rounds, Server
from fedfactory.methods.contract import Trained
from fedfactory.methods.feddg import client as feddg_client
from fedfactory.methods.feddg.amplitude import half_width
from fedfactory.methods.feddg.client import AMPLITUDES, LOOKS, OTHERS
from fedfactory.methods.feddg.network import FeatureUNet
from fedfactory.methods.feddg.parameters import FedDGParameters
from fedfactory.methods.federated.cell import FederatedCell
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.state_dicts import load_weights
from fedfactory.training.batches import batches, resize
from fedfactory.training.devices import prepare
from fedfactory.training.seeds import derive_seed


class FedDGServer(Server):
    """The server: it averages models, and hands every client the others' shares of the amplitude bank."""

    phases = (LOOKS, TRAIN)

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
    weights, b = initial_weights(p, classes, cell.seed), half_width(p.image_size, p.window)
    fields: dict[str, Any] = {WEIGHTS: weights, AMPLITUDES: torch.zeros(p.bank, 2 * b + 1, 2 * b + 1)}
    advice = f"lower 'learning_rate' or 'inner_learning_rate' in '{cell.key}'"
    rounds = Rounds(clients, p.rounds, len(clients), p.checkpoint_every, p.deadline, cell.key, advice)
    server = FedDGServer(rounds, weights, Allowlist.of(clients, **fields), cell.seed)
    parameters = in_order(FedDGParameters, cell.parameters)
    card = {"parameters": parameters, "features": list(p.features), "classes": classes, "image_size": p.image_size}
    cell.train(server, feddg_client.__name__, out, card, progress)


def initial_weights(p: FedDGParameters, classes: int, seed: int) -> dict[str, torch.Tensor]:
    """The state dict that a training starts from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("initialise", seed))
        return {name: value.clone() for name, value in FeatureUNet(p.features, classes).state_dict().items()}


@dataclass(frozen=True)
class FedDGSegmenter:
    """Segment slices, each alone, so that a mask does not depend on its neighbours.

    Attributes:
        network: the trained network.
        size: edge of the images that it reads.
        device: where it is.
    """

    network: FeatureUNet
    size: int
    device: str

    @torch.no_grad()
    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Segment slices (n, S, S) float32 in [-1, 1] as labels (n, S, S) uint8."""
        found = []
        for batch, count in batches(torch.from_numpy(np.array(images, dtype=np.float32)[:, None])):
            logits, _ = self.network(resize(batch.to(self.device), self.size))
            logits = interpolate(logits, images.shape[1:], mode="bilinear", align_corners=False)
            found.append(logits[:count].argmax(1).to(torch.uint8).cpu().numpy())
        return np.concatenate(found)


def segmenter(trained: Trained) -> FedDGSegmenter:
    """The segmenter of a cell."""
    return read_segmenter(trained.model, prepare(trained.device))


def read_segmenter(model: Path, device: str) -> FedDGSegmenter:
    """Read what :func:`train_feddg` wrote.

    Raises:
        FedFactoryError: no such folder, or weights of another model.
    """
    try:
        card = json.loads((model / "card.json").read_text())
        features, classes, size = (
            read(tuple[int, ...], card["features"], "features"),
            card["classes"],
            card["image_size"],
        )
    except (OSError, ValueError, KeyError) as error:
        raise FedFactoryError(f"{model} holds no model of FedDG ({error}); make it with the rule feddg_train") from None
    network = FeatureUNet(features, classes).to(device)
    load_weights(network, model / "weights.pt", device)
    return FedDGSegmenter(network.requires_grad_(False).eval(), size, device)
