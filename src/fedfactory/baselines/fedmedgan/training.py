"""Federated training of FedMed-GAN between the source and one target, and segmentation by way of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedfactory.baselines.fedmedgan.networks import TO_SOURCE, Generator, make_generators
from fedfactory.baselines.fedmedgan.parameters import FedMedGanParameters
from fedfactory.baselines.fedmedgan.party import GRADIENT, JUDGE, TRANSLATE, TRANSLATED
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


class FedMedGanServer(Server):
    """The aggregator: it averages generators, and carries translated images and gradients from one to the other."""

    phases = (TRANSLATE, JUDGE, TRAIN)

    def message(self, phase: str, client: int, answers: Mapping[str, Mapping[int, Message]]) -> Message:
        """The model first, then what the other client answered in the phase before."""
        if phase == TRANSLATE:
            return super().message(phase, client, answers)
        return answers[TRANSLATE if phase == JUDGE else JUDGE][1 - client]


@dataclass(frozen=True)
class FedMedGanTask:
    """What to train.

    Attributes:
        parameters: as they stand in the configuration.
        stores: client -> its store, the source first.
        size: edge of the images.
        seed: of the training.
        device: ``cpu`` or ``cuda``.
        identity: digest of everything but the data that the result depends on.
        work: folder for checkpoints; removed at the end.
        workers: clients that train at the same time.
    """

    parameters: Mapping[str, Any]
    stores: Mapping[str, str]
    size: int
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
        return PartyTask(client, "fedmedgan", arguments, self.seed, self.identity, work, self.device)


def train_fedmedgan(task: FedMedGanTask, out: Path, progress: Progress) -> None:
    """Train, or go on from the last checkpoint.

    Args:
        task: what to train.
        out: folder of the model: ``weights.pt``, ``card.json``, and ``sites/<client>`` with ledger and losses; written
            whole or not at all.
        progress: updated after every round.

    Raises:
        FedFactoryError: images that the generators cannot halve, bad data, or a client that does not answer.
    """
    p = FedMedGanParameters.from_mapping(task.parameters, "parameters")
    if task.size % (1 << p.halvings) or task.size < 1 << p.layers:
        raise FedFactoryError(
            f"images of {task.size} pixels cannot be halved {p.halvings} times by the generators and {p.layers} times "
            "by the discriminators; lower 'halvings' or 'layers'"
        )
    weights = initial_weights(p, task.seed)
    clients = tuple(task.stores)
    rounds = Rounds(
        clients, p.rounds, len(clients), p.checkpoint_every, p.deadline, key="parameters", advice="lower 'rate'"
    )
    batch = torch.zeros(p.batch, 1, task.size, task.size)
    allowlist = Allowlist.of(clients, **{WEIGHTS: weights, TRANSLATED: batch, GRADIENT: batch})
    server = FedMedGanServer(rounds, weights, allowlist, task.seed)
    parties = [task.party_task(client) for client in clients]
    simulated.train(server, parties, task.identity, task.work, task.workers, progress)
    with new_folder(out) as folder:
        torch.save(server.weights, folder / "weights.pt")
        card = {"clients": clients, "parameters": asdict(p)}
        (folder / "card.json").write_text(json.dumps(card, indent=1) + "\n")
        simulated.publish_records(parties, folder)
    shutil.rmtree(task.work)


def initial_weights(p: FedMedGanParameters, seed: int) -> dict[str, Tensor]:
    """The state dict that a training starts from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("initialise", seed))
        return {name: value.clone() for name, value in make_generators(p).state_dict().items()}


@dataclass(frozen=True)
class TranslatingSegmenter:
    """Bring slices to the source's look, each alone, and segment the volume by the source's model.

    Attributes:
        generator: from the target's look to the source's.
        segment: the source's model.
        device: where the generator is.
    """

    generator: Generator
    segment: Callable[[np.ndarray], np.ndarray]
    device: str

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Segment slices (n, S, S) float32 in [-1, 1] as labels (n, S, S) uint8."""
        return self.segment(self.translate(images))

    @torch.no_grad()
    def translate(self, images: np.ndarray) -> np.ndarray:
        """Slices (n, S, S) in the source's look."""
        parts = [
            self.generator(batch.to(self.device))[:count, 0].cpu().numpy()
            for batch, count in batches(torch.from_numpy(np.array(images, dtype=np.float32)[:, None]))
        ]
        return np.concatenate(parts)


def read_generator(model: Path, device: str) -> Generator:
    """The generator from the target's look to the source's, of a folder that :func:`train_fedmedgan` wrote.

    Raises:
        FedFactoryError: no such folder, or weights of another model.
    """
    try:
        p = read(FedMedGanParameters, json.loads((model / "card.json").read_text())["parameters"], "parameters")
    except (OSError, ValueError, KeyError) as error:
        raise FedFactoryError(
            f"{model} holds no model of FedMed-GAN ({error}); make it with the rule fedmedgan_train"
        ) from None
    generators = make_generators(p).to(device)
    load_weights(generators, model / "weights.pt", device)
    return generators.requires_grad_(False).eval()[TO_SOURCE]
