"""Federated training of FedDG for one target, and the model that comes of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fedfactory.baselines.feddg.amplitude import half_width
from fedfactory.baselines.feddg.network import FeatureUNet
from fedfactory.baselines.feddg.parameters import FedDGParameters
from fedfactory.baselines.feddg.party import AMPLITUDES, LOOKS, OTHERS
from fedfactory.errors import FedFactoryError
from fedfactory.federation import simulated
from fedfactory.federation.message import WEIGHTS, Allowlist
from fedfactory.federation.party import TRAIN, Message, PartyTask
from fedfactory.federation.server import Rounds, Server
from fedfactory.files import new_folder
from fedfactory.images import batches
from fedfactory.parameters import read
from fedfactory.progress import Progress
from fedfactory.seeds import derive_seed
from fedfactory.state_dicts import load_weights


class FedDGServer(Server):
    """The aggregator: it averages models, and hands every client the others' shares of the amplitude bank."""

    phases = (LOOKS, TRAIN)

    def message(self, phase: str, client: int, answers: Mapping[str, Mapping[int, Message]]) -> Message:
        """Nothing at first; then the model, and what the others gave."""
        if phase == LOOKS:
            return {}
        names = self.rounds.clients
        others = {names[i]: answer[AMPLITUDES][AMPLITUDES] for i, answer in answers[LOOKS].items() if i != client}
        return {**super().message(phase, client, answers), OTHERS: others}


@dataclass(frozen=True)
class FedDGTask:
    """What to train.

    Attributes:
        parameters: as they stand in the configuration.
        stores: client -> its store.
        size: edge of the images.
        classes: foreground classes.
        seed: of the training.
        device: ``cpu`` or ``cuda``.
        identity: digest of everything but the data that the result depends on.
        work: folder for checkpoints; removed at the end.
        workers: clients that train at the same time.
    """

    parameters: Mapping[str, Any]
    stores: Mapping[str, str]
    size: int
    classes: int
    seed: int
    device: str
    identity: str
    work: Path
    workers: int

    def party_task(self, client: str) -> PartyTask:
        """The task of one client."""
        arguments = {
            "data": self.stores[client],
            "clients": list(self.stores),
            "parameters": dict(self.parameters),
        }
        work = str(self.work / "sites" / client)
        return PartyTask(client, "feddg", arguments, self.seed, self.identity, work, self.device)


def train_feddg(task: FedDGTask, out: Path, progress: Progress) -> None:
    """Train, or go on from the last checkpoint.

    Args:
        task: what to train.
        out: folder of the model: ``weights.pt``, ``card.json``, and ``sites/<client>`` with ledger and losses; written
            whole or not at all.
        progress: updated after every round.

    Raises:
        FedFactoryError: fewer than two clients, bad data at one, or one that does not answer.
    """
    p = FedDGParameters.from_mapping(task.parameters, "parameters")
    clients = tuple(task.stores)
    if len(clients) < 2:
        raise FedFactoryError("FedDG needs two labelled clients beside the target: looks are exchanged between them")
    weights = initial_weights(p, task.classes, task.seed)
    rounds = Rounds(
        clients,
        p.rounds,
        len(clients),
        p.checkpoint_every,
        p.deadline,
        key="parameters",
        advice="lower 'rate' or 'inner_rate'",
    )
    b = half_width(task.size, p.window)
    share = torch.zeros(p.bank, 2 * b + 1, 2 * b + 1)
    server = FedDGServer(rounds, weights, Allowlist.of(clients, **{WEIGHTS: weights, AMPLITUDES: share}), task.seed)
    parties = [task.party_task(client) for client in clients]
    simulated.train(server, parties, task.identity, task.work, task.workers, progress)
    with new_folder(out) as folder:
        torch.save(server.weights, folder / "weights.pt")
        card = {
            "features": list(p.features),
            "classes": task.classes,
            "clients": list(clients),
            "parameters": asdict(p),
        }
        (folder / "card.json").write_text(json.dumps(card, indent=1) + "\n")
        simulated.publish_records(parties, folder)
    shutil.rmtree(task.work)


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
        device: where it is.
    """

    network: FeatureUNet
    device: str

    @torch.no_grad()
    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Segment slices (n, S, S) float32 in [-1, 1] as labels (n, S, S) uint8."""
        found = []
        for batch, count in batches(torch.from_numpy(np.array(images, dtype=np.float32)[:, None])):
            logits, _ = self.network(batch.to(self.device))
            found.append(logits[:count].argmax(1).to(torch.uint8).cpu().numpy())
        return np.concatenate(found)


def read_segmenter(model: Path, device: str) -> FedDGSegmenter:
    """Read what :func:`train_feddg` wrote.

    Raises:
        FedFactoryError: no such folder, or weights of another model.
    """
    try:
        card = json.loads((model / "card.json").read_text())
        features, classes = read(tuple[int, ...], card["features"], "features"), card["classes"]
    except (OSError, ValueError, KeyError) as error:
        raise FedFactoryError(f"{model} holds no model of FedDG ({error}); make it with the rule feddg_train") from None
    network = FeatureUNet(features, classes).to(device)
    load_weights(network, model / "weights.pt", device)
    return FedDGSegmenter(network.requires_grad_(False).eval(), device)
