"""How a factory renders a domain: the looks of its own clients, and of clients that it never met.

A client outside the federation (Canon, T2w, IXI) has no label in F. Its look is found at the client, against the
frozen factory: start from the federated client whose CLIP key is nearest, and learn what has to be added to that
client's style vectors, and the client's magnification, so that the factory reproduces the client's training images.
Each image has a z of its own, so that z explains shapes and the look the rest (Bojanowski et al., ICML 2018).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fedfactory.errors import FedFactoryError
from fedfactory.factory.model import Factory
from fedfactory.methods.ours.losses import reconstruction_loss
from fedfactory.methods.ours.parameters import LookParameters
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.files import parse_json
from fedfactory.storage.tensors import read_tensors, write_tensors
from fedfactory.training.seeds import derive_seed

_MEAN_OF = 2048


@dataclass(frozen=True)
class Look:
    """How to render a domain.

    Attributes:
        client: the federated client that it is, or that it starts from.
        offset: added to that client's style vectors, (n_styles, latent).
        zoom: logarithm of its magnification of the shared anatomy.
    """

    client: str
    offset: Tensor
    zoom: float

    def styles(self, factory: Factory, z: Tensor, positions: Tensor) -> Tensor:
        """Style vectors (count, n_styles, latent) of z (count, latent) at slice positions (count,).

        Positions may lie between two bins: styles are interpolated there.
        """
        below = positions.floor().long()
        above = (below + 1).clamp(max=factory.card.parameters.network.position_bins - 1)
        share = (positions - below).to(torch.float32)[:, None, None].to(z.device)
        first, second = (factory.styles(z, self.client, bins) for bins in (below, above))
        return torch.lerp(first, second, share) + self.offset.to(z.device)

    def mean(self, factory: Factory) -> Tensor:
        """Mean style vectors (n_styles, latent) over z and positions: where the encoder starts from."""
        generator = torch.Generator().manual_seed(0)
        key = torch.tensor(factory.card.keys[self.client], dtype=torch.float32, device=self.offset.device)
        index = factory.clients.index(self.client)
        return factory.generator.mean_latent(_MEAN_OF, index, key, generator) + self.offset


def own_look(factory: Factory, client: str) -> Look:
    """The look of a federated client."""
    if client not in factory.clients:
        raise FedFactoryError(
            f"client {client} is none of the factory's clients ({', '.join(factory.clients)}); it needs a look of its "
            "own, made by the rule factory_look"
        )
    styles = factory.generator
    offset = torch.zeros(styles.n_styles, styles.latent, device=factory.device)
    return Look(client, offset, factory.zoom(client))


def nearest_client(factory: Factory, key: Sequence[float]) -> str:
    """The federated client whose CLIP key has the largest cosine with a key."""
    own = np.asarray(key)
    if len(own) != factory.card.parameters.network.key_size:
        raise FedFactoryError(
            f"the key has {len(own)} values, the factory's have {factory.card.parameters.network.key_size}; make both "
            "with the same encoder"
        )

    def cosine(client: str) -> float:
        other = np.asarray(factory.card.keys[client])
        return float(own @ other / (np.linalg.norm(own) * np.linalg.norm(other)))

    return max(factory.clients, key=cosine)


def learn_look(
    factory: Factory,
    images: Tensor,
    positions: Tensor,
    start: str,
    p: LookParameters,
    perceptual: torch.nn.Module,
    seed: int,
    progress: Progress,
) -> tuple[Look, list[float]]:
    """Learn a look against the frozen factory.

    Args:
        factory: it does not change.
        images: the client's training images, (count, 1, S, S) in [-1, 1], of the factory's size.
        positions: their slice-position bins, int64 (count,).
        start: the federated client to start from.
        p: parameters.
        perceptual: LPIPS.
        seed: of the latents and batches.
        progress: updated every step.

    Returns:
        The look, and the reconstruction loss of every step.
    """
    generator, device = factory.generator, factory.device
    kept = torch.linspace(0, len(images) - 1, min(p.images, len(images))).round().long()
    images, positions = images[kept], positions[kept]
    z = factory.latents(len(images), derive_seed("latents", seed)).requires_grad_()
    # What the client's label never reaches stays as all clients share it.
    offset = torch.zeros(generator.n_styles - generator.shared_styles, generator.latent, device=device)
    offset.requires_grad_()
    zoom = torch.tensor(factory.zoom(start), device=device, requires_grad=generator.zoom is not None)
    groups = [{"params": [z], "lr": p.latent_rate}, {"params": [offset, zoom], "lr": p.rate}]
    optimiser = torch.optim.Adam(groups, betas=(0.9, 0.99), fused=True)
    key = torch.tensor(factory.card.keys[start], dtype=torch.float32, device=device)
    client = factory.clients.index(start)
    noise, losses = factory.silence(), []
    for step in range(p.steps):
        stream = torch.Generator().manual_seed(derive_seed("look", seed, step))
        chosen = torch.randint(len(images), (min(p.batch, len(images)),), generator=stream).to(device)
        count = len(chosen)
        indices = torch.full((count,), client, device=device)
        styles = generator.styles(z[chosen], indices, positions[chosen], key.expand(count, -1))
        shared = styles[:, : generator.shared_styles]
        styles = torch.cat([shared, styles[:, generator.shared_styles :] + offset], 1)
        of_batch = None if generator.zoom is None else zoom.expand(count)
        found = generator.synthesise(styles, noise, zoom=of_batch)
        loss = reconstruction_loss(found, images[chosen], 1.0, p.lpips, perceptual)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
        progress.update(step + 1, p.steps, f"reconstruction {losses[-1]:.4f}")
    whole = torch.zeros(generator.n_styles, generator.latent, device=device)
    whole[generator.shared_styles :] = offset.detach()
    return Look(start, whole, float(zoom.detach())), losses


def write_look(folder: Path, look: Look, factory: Factory, perceptual: str, losses: Sequence[float]) -> None:
    """Write a look, and the losses of its learning, into an existing folder."""
    (folder / "losses.csv").write_text("step,loss\n" + "".join(f"{i},{v:.6f}\n" for i, v in enumerate(losses, 1)))
    write_tensors(look.offset.cpu(), folder / "offset.pt")
    content = {"client": look.client, "zoom": look.zoom, "factory": factory.digest, "perceptual": perceptual}
    (folder / "look.json").write_text(json.dumps(content, indent=1) + "\n")


def read_look(folder: Path, factory: Factory) -> Look:
    """Read what :func:`write_look` wrote.

    Raises:
        FedFactoryError: no look, or one of another factory.
    """
    offset = read_tensors(folder / "offset.pt", factory.device, advice="make it with the rule factory_look")
    try:
        content = parse_json((folder / "look.json").read_text())
        look = Look(content["client"], offset, float(content["zoom"]))
        maker = content["factory"]
    except Exception as error:
        raise FedFactoryError(
            f"{folder} is no look of a client ({error}); make it with the rule factory_look"
        ) from None
    if maker != factory.digest:
        raise FedFactoryError(f"{folder} was made with another factory; make it again with the rule factory_look")
    return look
