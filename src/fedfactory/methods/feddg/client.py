"""A client's part in FedDG: its labelled slices, and the looks of the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedfactory.config.parameters import read
from fedfactory.data.store import ClientView
from fedfactory.federation.client import Message
from fedfactory.methods.feddg.amplitude import half_width, low_amplitudes, mixed
from fedfactory.methods.feddg.episode import episode_losses
from fedfactory.methods.feddg.parameters import FedDGParameters
from fedfactory.methods.federated.segmentation import (
    ClientSlices,
    SegmentationClient,
    digest_of,
    labelled_slices,
    smaller,
)
from fedfactory.orchestration.labels import TRAINING

LOOKS = "looks"
"""Phase of a round before the training: clients give their shares of the amplitude bank."""
AMPLITUDES, OTHERS = "amplitudes", "others"
"""Fields that cross: a client's share of the bank on its way out, and the shares of all others on their way in."""


def share_of(images: np.ndarray, p: FedDGParameters) -> np.ndarray:
    """Low-frequency amplitudes of a client's training slices (n, S, S): its share of the bank.

    Returns:
        (p.bank, 2 b + 1, 2 b + 1) float32, evenly picked. A client with fewer slices gives some of them twice, which
        tells how many it has.
    """
    chosen = np.linspace(0, len(images) - 1, p.bank).round().astype(int)
    return low_amplitudes(_positive(images[chosen]), half_width(images.shape[-1], p.window))


def in_another_look(images: np.ndarray, amplitudes: np.ndarray, ratios: np.ndarray) -> np.ndarray:
    """Images (n, S, S) in [-1, 1] with amplitudes of others' banks mixed in, by ratios (n,); in [-1, 1] again."""
    return 2 * mixed(_positive(images), amplitudes, ratios).clip(0, 1) - 1


def _positive(images: np.ndarray) -> np.ndarray:
    """Images in [0, 1]: the amplitude of frequency zero is the mean, which has no sign to lose."""
    return (np.asarray(images) + 1) / 2


class FedDGClient(SegmentationClient):
    """A client that also gives its share of the amplitude bank, and trains on looks of others.

    Args:
        client: its name.
        clients: names of all clients of the federation.
        slices: its labelled slices.
        share: amplitudes that it gives away, (p.bank, 2 b + 1, 2 b + 1).
        classes: foreground classes.
        p: parameters.
        seed: of the training.
        device: ``cpu`` or ``cuda``.
    """

    loss_columns = ("episode",)
    advice = "lower 'learning_rate' or 'inner_learning_rate'"

    def __init__(
        self,
        client: str,
        clients: Sequence[str],
        slices: ClientSlices,
        share: np.ndarray,
        classes: int,
        p: FedDGParameters,
        seed: int,
        device: str,
    ) -> None:
        self._share, self._p = torch.from_numpy(share), p
        self._looks: list[np.ndarray] = []
        fields: dict[str, Any] = {AMPLITUDES: self._share}
        fields[OTHERS] = {name: self._share for name in clients if name != client}
        super().__init__(client, clients, slices, classes, p, seed, device, fields)
        self.fingerprint = digest_of(slices.images, slices.labels, share)

    def answer(self, round_number: int, phase: str, message: Message) -> tuple[Message, Mapping[str, float] | None]:
        """Give its share of the bank, or train for one round, every step an episode with looks of other clients."""
        if phase == LOOKS:
            return {AMPLITUDES: {AMPLITUDES: self._share}}, None
        self._looks = [message[OTHERS][name].numpy() for name in sorted(message[OTHERS])]
        return super().answer(round_number, phase, message)

    def loss(self, stream: np.random.Generator) -> Tensor:
        """Loss of an episode: a batch, and the same in other clients' looks."""
        count = self._batch
        chosen = stream.integers(len(self._slices.images), size=count)
        banks = [self._looks[i] for i in stream.integers(len(self._looks), size=count)]
        amplitudes = np.stack([bank[stream.integers(len(bank))] for bank in banks])
        images = self._slices.images[chosen]
        other = in_another_look(images, amplitudes, stream.uniform(0, 1, count))
        first, second, labels = self.on_device(images, other, self._slices.labels[chosen])
        return episode_losses(self.network, first, second, labels[:, 0], self._p)


def open_client(client: str, arguments: Mapping[str, Any], seed: int, device: str) -> FedDGClient:
    """Open a client's store.

    Args:
        client: its name.
        arguments: its store (``data``), the names of all ``clients``, and ``parameters``.
        seed: of the training.
        device: ``cpu`` or ``cuda``.

    Raises:
        FedFactoryError: bad data.
    """
    p = read(FedDGParameters, arguments["parameters"], "parameters")
    view = ClientView(Path(arguments["data"]), TRAINING)
    slices, share = data_of(arrays_of(view), client, p, seed)
    return FedDGClient(client, arguments["clients"], slices, share, len(view.classes), p, seed, device)


def arrays_of(view: ClientView) -> dict[str, np.ndarray]:
    """All that a client reads of its store: slices (n, S, S), and those with ``labels``.

    Raises:
        FedFactoryError: none has a label.
    """
    labelled, labels = labelled_slices(view)
    images = np.concatenate([np.asarray(volume.images) for volume in view.unlabelled_images()])
    return {"images": images, "labelled": labelled, "labels": labels}


def data_of(
    arrays: Mapping[str, np.ndarray], client: str, p: FedDGParameters, seed: int
) -> tuple[ClientSlices, np.ndarray]:
    """What a client trains on, and its share of the bank, from what :func:`arrays_of` gave."""
    slices = ClientSlices.copied(arrays["labelled"], arrays["labels"], client, p, seed)
    return slices, share_of(smaller(arrays["images"], p.image_size), p)
