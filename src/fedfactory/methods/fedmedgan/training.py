"""Federated training of FedMed-GAN between the source and one target, and segmentation by way of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fedfactory.config.parameters import in_order, read
from fedfactory.errors import FedFactoryError
from fedfactory.methods.federated.cell import FederatedCell
from fedfactory.methods.federated.nodes import Nodes
from fedfactory.methods.fedmedgan import client as fedmedgan_client
from fedfactory.methods.fedmedgan import nodes, server
from fedfactory.methods.fedmedgan.networks import TO_SOURCE, Generator, make_generators
from fedfactory.methods.fedmedgan.parameters import FedMedGanParameters
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.files import parse_json
from fedfactory.storage.state_dicts import load_weights
from fedfactory.training.batches import batches


def train_fedmedgan(cell: FederatedCell, size: int, out: Path, progress: Progress) -> None:
    """Train, or go on from the last checkpoint; see :meth:`~fedfactory.methods.federated.cell.FederatedCell.train`.

    Args:
        cell: what to train; its stores are the source's and the target's, in this order.
        size: edge of the images.
        out: folder of the model.
        progress: updated after every round.

    Raises:
        FedFactoryError: images that the generators cannot halve, bad data, or a client that does not answer.
    """
    p, arguments = read(FedMedGanParameters, cell.parameters, cell.key), cell.arguments(size=size)
    if size % (1 << p.downsamplings) or size <= 1 << p.layers:
        raise FedFactoryError(
            f"images of {size} pixels cannot be halved {p.downsamplings} times by the generators and "
            f"{p.layers} times by the discriminators; lower 'downsamplings' or 'layers' in '{cell.key}'"
        )
    start = server.open_server(arguments, cell.seed, cell.work)
    card = {"parameters": in_order(FedMedGanParameters, cell.parameters)}
    at_nodes = Nodes.of(p, server.__name__, nodes.__name__, arguments)
    cell.train(start, fedmedgan_client.__name__, out, card, progress, at_nodes)


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
        p = read(FedMedGanParameters, parse_json((model / "card.json").read_text())["parameters"], "parameters")
    except (OSError, ValueError, KeyError) as error:
        raise FedFactoryError(
            f"{model} holds no model of FedMed-GAN ({error}); make it with the rule fedmedgan_train"
        ) from None
    generators = make_generators(p).to(device)
    load_weights(generators, model / "weights.pt", device)
    chosen: Any = generators.requires_grad_(False).eval()[TO_SOURCE]
    return chosen
