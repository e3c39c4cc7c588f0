"""The trained factory F as a folder, and what it can be asked for.

::

    generator.pt    state dict of the averaged generator
    discriminator.pt  state dict of the last discriminator, which all clients have: only where its privacy is measured
    card.json       parameters, encoder, key of every client, engine and seed
    snapshots/      the averaged generator over the training: round000000.pt is untrained
    sites/<client>/ what the client itself wrote down: ledger.csv, forms.json, losses.csv
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from fedfactory.errors import FedFactoryError
from fedfactory.factory.layers import magnify
from fedfactory.factory.networks import Discriminator, Generator
from fedfactory.factory.parameters import FactoryParameters
from fedfactory.storage.files import parse_json
from fedfactory.storage.tensors import read_tensors, write_tensors

DISCRIMINATOR = "discriminator.pt"
# Images, and their pixels, rendered at once: bounds memory.
_BATCH, _PIXELS = 32, 2**19


@dataclass(frozen=True)
class Card:
    """What is known about a factory besides its weights.

    Attributes:
        parameters: of its training.
        encoder: name of the encoder of the keys.
        encoder_digest: SHA-256 of that encoder's weights.
        keys: client -> key, (key_size,) floats.
        seed: of the training.
    """

    parameters: FactoryParameters
    encoder: str
    encoder_digest: str
    keys: Mapping[str, Sequence[float]]
    seed: int

    def to_json(self) -> dict[str, Any]:
        """As plain data; the inverse of :meth:`from_json`."""
        return {
            "parameters": self.parameters.as_json(),
            "encoder": self.encoder,
            "encoder_digest": self.encoder_digest,
            "keys": {client: [float(v) for v in key] for client, key in self.keys.items()},
            "seed": self.seed,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` wrote."""
        return cls(**{**data, "parameters": FactoryParameters.from_json(data["parameters"])})


def snapshot_name(round_number: int) -> str:
    """File of the averaged generator before a round, in ``snapshots``."""
    return f"round{round_number:06d}.pt"


def write_factory(folder: Path, generator: Mapping[str, Tensor], card: Card) -> None:
    """Write weights and card into an existing folder."""
    write_tensors(dict(generator), folder / "generator.pt")
    (folder / "card.json").write_text(json.dumps(card.to_json(), indent=1) + "\n")


class Factory:
    """A frozen generator and the keys of its clients.

    Attributes:
        card: what is known about it.
        generator: the network, in evaluation mode, without gradients for its weights.
        device: where it lies.
        folder: that it was read from.
        digest: SHA-256 of its weights' file.
    """

    def __init__(self, folder: Path, device: str = "cpu", snapshot: Path | None = None) -> None:
        """Load a factory.

        Args:
            folder: written by :func:`write_factory`.
            device: ``cpu`` or ``cuda``.
            snapshot: weights to take instead of the final ones.

        Raises:
            FedFactoryError: the folder holds no factory.
        """
        if not (folder / "card.json").is_file():
            raise FedFactoryError(f"{folder} is no factory: card.json is missing; make it with the rule factory_train")
        self.card = Card.from_json(parse_json((folder / "card.json").read_text()))
        file = snapshot or folder / "generator.pt"
        self.digest = hashlib.sha256(file.read_bytes()).hexdigest()
        weights = read_tensors(file, device, advice="make it with the rule factory_train")
        self.generator = Generator(self.card.parameters.network).to(device).requires_grad_(False).eval()
        self.generator.load_state_dict(weights)
        self.folder, self.device = folder, device

    def discriminator(self) -> Discriminator:
        """The federation's last discriminator.

        Raises:
            FedFactoryError: the training did not keep it.
        """
        file = self.folder / DISCRIMINATOR
        weights = read_tensors(file, self.device, advice="make the factory with 'privacy: true'")
        network = Discriminator(self.card.parameters.network).to(self.device).requires_grad_(False).eval()
        network.load_state_dict(weights)
        return network

    @property
    def clients(self) -> tuple[str, ...]:
        """Names of the federated clients."""
        return self.card.parameters.clients

    def latents(self, count: int, seed: int) -> Tensor:
        """Draw z (count, latent) from a standard normal distribution."""
        return torch.randn(
            count, self.card.parameters.network.latent, generator=torch.Generator().manual_seed(seed)
        ).to(self.device)

    def styles(self, z: Tensor, client: str, positions: Tensor) -> Tensor:
        """Style vectors (count, n_styles, latent) of a client at slice positions (count,).

        Args:
            z: (count, latent).
            client: a federated client.
            positions: int64 (count,), slice-position bins.
        """
        key = torch.tensor(self.card.keys[client], dtype=torch.float32, device=self.device)
        index = torch.full((len(z),), self.clients.index(client), device=self.device)
        return self.generator.styles(z, index, positions.to(self.device), key.expand(len(z), -1))

    def zoom(self, client: str) -> float:
        """Logarithm of the client's magnification of the shared anatomy; 0 where the architecture has none."""
        zooms = self.generator.zooms()
        return 0.0 if zooms is None else float(zooms[self.clients.index(client)])

    @torch.no_grad()
    def render(self, styles: Tensor, zoom: float = 0.0) -> np.ndarray:
        """Render styles as images (count, S, S), float32 in [-1, 1].

        Noise, where the architecture has it, is left out: the same styles give the same images.

        Args:
            styles: (count, n_styles, latent).
            zoom: of the client whose styles they are, see :meth:`zoom`.
        """
        noise, parts = self.silence(), []
        batch = max(1, min(_BATCH, _PIXELS // self.card.parameters.network.image_size**2))
        for part in styles.split(batch):
            parts.append(self.generator.synthesise(part, noise, zoom=None if self.generator.zoom is None else zoom))
        return torch.cat(parts)[:, 0].clamp(-1, 1).cpu().numpy()

    def show(self, z: Tensor, client: str, positions: Tensor) -> np.ndarray:
        """Render z (count, latent) as a client at slice positions (count,): images (count, S, S)."""
        return self.render(self.styles(z, client, positions), self.zoom(client))

    def images(self, client: str, positions: Sequence[int], seed: int) -> np.ndarray:
        """Sample one image (S, S) for each slice position, each from a z of its own."""
        return self.show(self.latents(len(positions), seed), client, torch.as_tensor(np.asarray(positions)))

    def reframe(self, images: np.ndarray, client: str, other: str) -> np.ndarray:
        """Bring what lies in one client's field of view, (count, S, S), into another one's.

        Renderings of one z show the same anatomy, each in its client's field of view; this puts them over each other.
        """
        zoom = self.zoom(other) - self.zoom(client)
        return magnify(torch.from_numpy(images)[:, None], zoom)[:, 0].numpy()

    def silence(self) -> list[Tensor] | None:
        """Noise that is none, for each styled convolution; None where the architecture has no noise."""
        if not self.card.parameters.network.noise:
            return None
        sizes = [4, *(size for size in self.generator.resolutions[1:] for _ in range(2))]
        return [torch.zeros(1, 1, size, size, device=self.device) for size in sizes]
