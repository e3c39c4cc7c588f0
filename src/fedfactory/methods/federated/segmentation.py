"""A federation that trains a segmentation network on labels of its clients: what FedAvg and FedDG share."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from fedfactory.config.parameters import in_order, read
from fedfactory.data.deformation import deformed
from fedfactory.data.store import ClientView
from fedfactory.errors import FedFactoryError
from fedfactory.federation.client import OWN_WEIGHTS, TRAIN, Message
from fedfactory.federation.message import WEIGHTS, Allowlist
from fedfactory.federation.server import Rounds
from fedfactory.methods.federated.cell import FederatedCell
from fedfactory.methods.federated.network import FeatureUNet
from fedfactory.methods.federated.parameters import SegmentationParameters
from fedfactory.storage.files import parse_json
from fedfactory.storage.state_dicts import load_weights
from fedfactory.training.batches import batches, resize, resize_labels
from fedfactory.training.losses import segmentation_loss
from fedfactory.training.seeds import derive_seed


def smaller(images: np.ndarray, size: int) -> np.ndarray:
    """Images (n, S, S) float32 with an edge of ``size`` pixels."""
    return resize(torch.from_numpy(np.asarray(images, np.float32))[:, None], size)[:, 0].numpy()


@dataclass(frozen=True)
class ClientSlices:
    """What a client trains on.

    Attributes:
        images: (n, S, S) float32 in [-1, 1].
        labels: (n, S, S) uint8; of no slice (0, S, S) where there are none.
    """

    images: np.ndarray
    labels: np.ndarray

    @classmethod
    def unlabelled(cls, view: ClientView, p: SegmentationParameters) -> ClientSlices:
        """All training slices of a client, without labels."""
        images = np.concatenate([np.asarray(volume.images) for volume in view.unlabelled_images()])
        images = smaller(images, p.image_size)
        return cls(images, np.zeros((0, *images.shape[1:]), np.uint8))

    @classmethod
    def labelled(cls, view: ClientView, client: str, p: SegmentationParameters, seed: int) -> ClientSlices:
        """All labelled training slices of a client, as they are and deformed, as ``p`` says, in a training with a seed.

        Raises:
            FedFactoryError: there is none.
        """
        return cls.copied(*labelled_slices(view), client, p, seed)

    @classmethod
    def copied(
        cls, images: np.ndarray, labels: np.ndarray, client: str, p: SegmentationParameters, seed: int
    ) -> ClientSlices:
        """Slices (n, S, S) of a store as they are and deformed, as ``p`` says, in a training with a seed."""
        images, masks = deformed(images, p.copies, derive_seed("copies", client, seed), labels)
        assert masks is not None
        return cls(smaller(images, p.image_size), resize_labels(masks, p.image_size))


def labelled_slices(view: ClientView) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels (n, S, S) of all labelled training volumes of a client.

    Raises:
        FedFactoryError: there is none.
    """
    volumes = view.labelled_volumes("train")
    if not volumes:
        raise FedFactoryError(f"{view.folder} has no labelled training volume, and its federation trains on labels")
    return np.concatenate([v.images for v in volumes]), np.concatenate([v.labels for v in volumes])


class SegmentationClient:
    """See :class:`fedfactory.federation.client.FederatedClient`; as it stands, a client of federated averaging.

    Args:
        client: its name.
        clients: names of all clients of the federation.
        slices: its labelled slices.
        classes: foreground classes.
        p: parameters.
        seed: of the training.
        device: ``cpu`` or ``cuda``.
        fields: what may cross its border beside the weights, in the form of what crosses.
    """

    loss_columns: tuple[str, ...] = ("segmentation",)
    advice = "lower 'learning_rate'"

    def __init__(
        self,
        client: str,
        clients: Sequence[str],
        slices: ClientSlices,
        classes: int,
        p: SegmentationParameters,
        seed: int,
        device: str,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        self._client, self._slices, self._clip, self._device = client, slices, p.clip, device
        self._batch, self._steps = p.batch, p.local_steps
        self._seed = derive_seed("client", client, seed)
        self.network = FeatureUNet(p.features, p.convolutions, classes).to(device)
        self._adam = torch.optim.Adam(self.network.parameters(), lr=p.learning_rate, betas=p.betas, fused=True)
        self.allowlist = Allowlist.of(tuple(clients), **{WEIGHTS: self.network.state_dict(), **(fields or {})})
        self.fingerprint = digest_of(slices.images, slices.labels)

    def announcement(self) -> Mapping[str, Any]:
        """Its name."""
        return {"client": self._client}

    def answer(self, round_number: int, phase: str, message: Message) -> tuple[Message, Mapping[str, float] | None]:
        """Train for one round."""
        assert phase == TRAIN
        self.network.load_state_dict(message[WEIGHTS])
        self.network.train()
        stream = np.random.default_rng(derive_seed("round", self._seed, round_number))
        losses = [self._step(stream) for _ in range(self._steps)]
        weights = {name: value.cpu() for name, value in self.network.state_dict().items()}
        return {WEIGHTS: weights}, {self.loss_columns[0]: float(np.mean(losses))}

    def own_weights(self) -> Mapping[str, Tensor]:
        """None: the whole model is shared."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """The moments of Adam."""
        return {"adam": self._adam.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where :meth:`state_dict` was taken."""
        self._adam.load_state_dict(state["adam"])

    def loss(self, stream: np.random.Generator) -> Tensor:
        """Loss of a step: of the masks of a batch."""
        chosen = stream.integers(len(self._slices.images), size=self._batch)
        images, labels = self.on_device(self._slices.images[chosen], self._slices.labels[chosen])
        return segmentation_loss(self.network(images)[0], labels[:, 0], 1.0, 1.0)

    def on_device(self, *slices: np.ndarray) -> list[Tensor]:
        """Slices (n, S, S) as batches (n, 1, S, S) where the network is."""
        return [torch.from_numpy(part)[:, None].to(self._device) for part in slices]

    def _step(self, stream: np.random.Generator) -> float:
        loss = self.loss(stream)
        if not torch.isfinite(loss):
            raise FedFactoryError(f"the {self.loss_columns[0]} loss of a step is not finite; {self.advice}")
        self._adam.zero_grad()
        loss.backward()
        if self._clip is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self._clip)
        self._adam.step()
        return float(loss.detach())


def digest_of(*arrays: np.ndarray) -> str:
    """SHA-256 of the content of arrays."""
    content = hashlib.sha256()
    for array in arrays:
        content.update(np.ascontiguousarray(array).data)
    return content.hexdigest()


def initial_network(p: SegmentationParameters, classes: int, seed: int) -> FeatureUNet:
    """The network that a training starts from."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("initialise", seed))
        return FeatureUNet(p.features, p.convolutions, classes)


def rounds_of(p: SegmentationParameters, clients: Sequence[str], key: str, advice: str) -> Rounds:
    """All clients of a cell, in every round; ``key`` is where its parameters stand."""
    return Rounds(tuple(clients), p.rounds, len(clients), p.checkpoint_every, p.deadline, key, f"{advice} in '{key}'")


def card_of(kind: type[SegmentationParameters], cell: FederatedCell, classes: int) -> dict[str, Any]:
    """What a model's card says of its network."""
    return {"parameters": in_order(kind, cell.parameters), "classes": classes}


@dataclass(frozen=True)
class UNetSegmenter:
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


def read_segmenter(
    model: Path, kind: type[SegmentationParameters], rule: str, device: str, own: str | None = None
) -> UNetSegmenter:
    """Read a trained model.

    Args:
        model: its folder.
        kind: of its parameters.
        rule: that makes such a folder, for messages.
        device: ``cpu`` or ``cuda``.
        own: the client whose own weights belong to the network, where clients kept some.

    Raises:
        FedFactoryError: no such folder, or weights of another model.
    """
    try:
        card = parse_json((model / "card.json").read_text())
        p, classes = read(kind, card["parameters"], f"{model}/card.json"), card["classes"]
    except (OSError, ValueError, KeyError) as error:
        raise FedFactoryError(f"{model} holds no model of this row ({error}); make it with the rule {rule}") from None
    network = FeatureUNet(p.features, p.convolutions, classes).to(device)
    kept = [] if own is None else [model / "sites" / own / OWN_WEIGHTS]
    load_weights(network, model / "weights.pt", device, kept)
    return UNetSegmenter(network.requires_grad_(False).eval(), p.image_size, device)
