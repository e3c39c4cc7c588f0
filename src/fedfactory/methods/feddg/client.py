"""A client's part in FedDG: its labelled slices, and the looks of the others."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fedfactory.config.parameters import read
from fedfactory.data.deformation import deformed
from fedfactory.data.store import ClientView
from fedfactory.errors import FedFactoryError
from fedfactory.federation.client import TRAIN, Message
from fedfactory.federation.message import WEIGHTS, Allowlist
from fedfactory.methods.feddg.amplitude import half_width, low_amplitudes, mixed
from fedfactory.methods.feddg.network import FeatureUNet, episode_losses
from fedfactory.methods.feddg.parameters import FedDGParameters
from fedfactory.orchestration.labels import SOURCE
from fedfactory.training.batches import resize, resize_labels
from fedfactory.training.seeds import derive_seed

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


def smaller(images: np.ndarray, size: int) -> np.ndarray:
    """Images (n, S, S) float32 with an edge of ``size`` pixels."""
    return resize(torch.from_numpy(np.asarray(images, np.float32))[:, None], size)[:, 0].numpy()


def in_another_look(images: np.ndarray, amplitudes: np.ndarray, ratios: np.ndarray) -> np.ndarray:
    """Images (n, S, S) in [-1, 1] with amplitudes of others' banks mixed in, by ratios (n,); in [-1, 1] again."""
    return 2 * mixed(_positive(images), amplitudes, ratios).clip(0, 1) - 1


def _positive(images: np.ndarray) -> np.ndarray:
    """Images in [0, 1]: the amplitude of frequency zero is the mean, which has no sign to lose."""
    return (np.asarray(images) + 1) / 2


@dataclass(frozen=True)
class LabelledSlices:
    """What a client trains on.

    Attributes:
        images: (n, S, S) float32 in [-1, 1].
        labels: (n, S, S) uint8.
    """

    images: np.ndarray
    labels: np.ndarray

    @classmethod
    def of(cls, view: ClientView, size: int, copies: int, seed: int) -> LabelledSlices:
        """All labelled training slices of a client, as they are and deformed, with an edge of ``size`` pixels.

        Raises:
            FedFactoryError: there is none.
        """
        volumes = view.labelled_volumes("train")
        if not volumes:
            raise FedFactoryError(f"{view.folder} has no labelled training volume, and FedDG trains on labels")
        images, labels = (np.concatenate([getattr(v, part) for v in volumes]) for part in ("images", "labels"))
        images, masks = deformed(images, copies, seed, labels)
        assert masks is not None
        return cls(smaller(images, size), resize_labels(masks, size))


class FedDGClient:
    """See :class:`fedfactory.federation.client.FederatedClient`.

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

    def __init__(
        self,
        client: str,
        clients: Sequence[str],
        slices: LabelledSlices,
        share: np.ndarray,
        classes: int,
        p: FedDGParameters,
        seed: int,
        device: str,
    ) -> None:
        self._client, self._slices, self._share, self._p = client, slices, torch.from_numpy(share), p
        self._looks: list[np.ndarray] = []
        self._seed = derive_seed("feddg", client, seed)
        self._network = FeatureUNet(p.features, classes).to(device)
        self._adam = torch.optim.Adam(self._network.parameters(), lr=p.learning_rate, betas=p.betas, fused=True)
        self._device = device
        fields: dict[str, Any] = {WEIGHTS: self._network.state_dict(), AMPLITUDES: self._share}
        fields[OTHERS] = {name: self._share for name in clients if name != client}
        self.allowlist = Allowlist.of(tuple(clients), **fields)
        content = hashlib.sha256()
        for array in (slices.images, slices.labels, share):
            content.update(np.ascontiguousarray(array).data)
        self.fingerprint = content.hexdigest()

    def announcement(self) -> Mapping[str, Any]:
        """Its name."""
        return {"client": self._client}

    def answer(self, round_number: int, phase: str, message: Message) -> tuple[Message, Mapping[str, float] | None]:
        """Give its share of the bank, or train for one round, every step an episode with looks of other clients."""
        if phase == LOOKS:
            return {AMPLITUDES: {AMPLITUDES: self._share}}, None
        assert phase == TRAIN
        self._looks = [message[OTHERS][name].numpy() for name in sorted(message[OTHERS])]
        self._network.load_state_dict(message[WEIGHTS])
        self._network.train()
        stream = np.random.default_rng(derive_seed("round", self._seed, round_number))
        losses = [self._step(stream) for _ in range(self._p.local_steps)]
        weights = {name: value.cpu() for name, value in self._network.state_dict().items()}
        return {WEIGHTS: weights}, {"episode": float(np.mean(losses))}

    def state_dict(self) -> dict[str, Any]:
        """The moments of Adam."""
        return {"adam": self._adam.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where :meth:`state_dict` was taken."""
        self._adam.load_state_dict(state["adam"])

    def _step(self, stream: np.random.Generator) -> float:
        images, other, labels = self._draw(stream)
        loss = episode_losses(self._network, images, other, labels, self._p)
        if not torch.isfinite(loss):
            raise FedFactoryError(
                "the loss of an episode is not finite; lower 'learning_rate' or 'inner_learning_rate'"
            )
        self._adam.zero_grad()
        loss.backward()
        if self._p.clip is not None:
            nn.utils.clip_grad_norm_(self._network.parameters(), self._p.clip)
        self._adam.step()
        return float(loss.detach())

    def _draw(self, stream: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """A batch, the same in other clients' looks, and its labels."""
        count = self._p.batch
        chosen = stream.integers(len(self._slices.images), size=count)
        banks = [self._looks[i] for i in stream.integers(len(self._looks), size=count)]
        amplitudes = np.stack([bank[stream.integers(len(bank))] for bank in banks])
        images = self._slices.images[chosen]
        other = in_another_look(images, amplitudes, stream.uniform(0, 1, count))
        tensors = (torch.from_numpy(x)[:, None] for x in (images, other, self._slices.labels[chosen]))
        first, second, labels = (x.to(self._device) for x in tensors)
        return first, second, labels[:, 0]


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
    view = ClientView(Path(arguments["data"]), SOURCE)
    slices = LabelledSlices.of(view, p.image_size, p.copies, derive_seed("copies", client, seed))
    images = np.concatenate([np.asarray(volume.images) for volume in view.unlabelled_images()])
    share = share_of(smaller(images, p.image_size), p)
    return FedDGClient(client, arguments["clients"], slices, share, len(view.classes), p, seed, device)
