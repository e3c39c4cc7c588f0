"""A client's part in FedMed-GAN: both generators, and a discriminator of its own look."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedfactory.config.parameters import read
from fedfactory.data.store import ClientView
from fedfactory.errors import FedFactoryError
from fedfactory.federation.client import TRAIN, Message
from fedfactory.federation.message import WEIGHTS, Allowlist
from fedfactory.methods.fedmedgan.networks import TO_SOURCE, TO_TARGET, Discriminator, make_generators
from fedfactory.methods.fedmedgan.parameters import FedMedGanParameters
from fedfactory.methods.fedmedgan.privacy import sanitised
from fedfactory.training.seeds import derive_seed

TRANSLATE, JUDGE = "translate", "judge"
"""Kinds of phases before the last one: images are translated, and judged by the other client."""
TRANSLATED, GRADIENT = "translated", "gradient"
"""Fields that cross: translated images, and the sanitised gradient by them."""
_BETAS = (0.5, 0.999)


def phases_of(local_steps: int) -> tuple[str, ...]:
    """Phases of a round: ``translate 0``, ``judge 0``, ``translate 1``, ..., and the training that ends it.

    From the second on, a translation begins with the training that the judgement before it allows.
    """
    steps = [f"{kind} {number}" for number in range(local_steps) for kind in (TRANSLATE, JUDGE)]
    return (*steps, TRAIN)


def answered(phase: str) -> str:
    """The field of a client's answer in a phase."""
    return {TRANSLATE: TRANSLATED, JUDGE: GRADIENT}.get(phase.partition(" ")[0], WEIGHTS)


class FedMedGanClient:
    """See :class:`fedfactory.federation.client.FederatedClient`.

    Args:
        client: its name.
        clients: names of both clients, the source first.
        images: its training images, (n, 1, S, S) in [-1, 1].
        p: parameters.
        seed: of the training.
        device: ``cpu`` or ``cuda``.
    """

    # Of a round's last step. The gradient's norm is the mean over images of what this client's discriminator says,
    # before clipping and noise.
    loss_columns = ("cycle", "identity", "discriminator", "gradient norm")

    def __init__(
        self, client: str, clients: Sequence[str], images: Tensor, p: FedMedGanParameters, seed: int, device: str
    ) -> None:
        self._client, self._images, self._p, self._device = client, images, p, device
        source = client == clients[0]
        # Away from the own look, and back.
        self._away, self._back = (TO_TARGET, TO_SOURCE) if source else (TO_SOURCE, TO_TARGET)
        self._seed = derive_seed("fedmedgan", client, seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed("discriminator", self._seed))
            self._discriminator = Discriminator(p.width, p.layers).to(device)
        self._generators = make_generators(p).to(device)
        self._adams = {
            "generators": torch.optim.Adam(self._generators.parameters(), lr=p.learning_rate, betas=_BETAS, fused=True),
            "discriminator": torch.optim.Adam(
                self._discriminator.parameters(), lr=p.learning_rate, betas=_BETAS, fused=True
            ),
        }
        batch = torch.zeros(p.batch, *images.shape[1:])
        fields: dict[str, Any] = {WEIGHTS: self._generators.state_dict(), TRANSLATED: batch, GRADIENT: batch}
        self.allowlist = Allowlist.of(tuple(clients), **fields)
        self.fingerprint = hashlib.sha256(images.numpy().data).hexdigest()

    def announcement(self) -> Mapping[str, Any]:
        """Its name."""
        return {"client": self._client}

    def answer(self, round_number: int, phase: str, message: Message) -> tuple[Message, Mapping[str, float] | None]:
        """Translate, judge the other's translations, or train."""
        stream = torch.Generator().manual_seed(derive_seed(phase, self._seed, round_number))
        kind = phase.partition(" ")[0]
        if kind == JUDGE:
            return {GRADIENT: {GRADIENT: self._judge(message[TRANSLATED][TRANSLATED], stream)}}, None
        if WEIGHTS in message:
            self._generators.load_state_dict(message[WEIGHTS])
        else:
            losses = self._train(message[GRADIENT][GRADIENT])
        if kind == TRANSLATE:
            return {TRANSLATED: {TRANSLATED: self._translate(stream)}}, None
        return {WEIGHTS: {name: value.cpu() for name, value in self._generators.state_dict().items()}}, losses

    def own_weights(self) -> Mapping[str, Tensor]:
        """None: all that a prediction needs is shared."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """The discriminator, and the moments of Adam."""
        adams = {name: adam.state_dict() for name, adam in self._adams.items()}
        return {"discriminator": self._discriminator.state_dict(), "adams": adams}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where :meth:`state_dict` was taken."""
        self._discriminator.load_state_dict(state["discriminator"])
        for name, adam in self._adams.items():
            adam.load_state_dict(state["adams"][name])

    def _translate(self, stream: torch.Generator) -> Tensor:
        chosen = torch.randint(len(self._images), (self._p.batch,), generator=stream)
        self._batch = self._images[chosen].to(self._device)
        self._found = self._generators[self._away](self._batch)
        return self._found.detach().cpu()

    def _judge(self, translated: Tensor, stream: torch.Generator) -> Tensor:
        """Train the discriminator, and say which way the other's translations should go."""
        translated = translated.detach().to(self._device).requires_grad_(True)
        real = self._discriminator(self._batch)
        loss = ((real - 1).square().mean() + self._discriminator(translated.detach()).square().mean()) / 2
        self._adams["discriminator"].zero_grad()
        loss.backward()
        self._adams["discriminator"].step()
        self._discriminator_loss = float(loss.detach())
        # Summed over images: each one's gradient is clipped as its own, and averaged only by the generator.
        wanted = (self._discriminator(translated) - 1).square().mean((1, 2, 3)).sum()
        (gradient,) = torch.autograd.grad(wanted, translated)
        self._gradient_norm = float(gradient.flatten(1).norm(dim=1).mean())
        return sanitised(gradient, self._p.clip, self._p.noise, stream).cpu()

    def _train(self, gradient: Tensor) -> dict[str, float]:
        """One step of both generators: what the other's discriminator said, cycle, and identity."""
        back = self._generators[self._back]
        cycle = (back(self._found) - self._batch).abs().mean()
        identity = (back(self._batch) - self._batch).abs().mean()
        # The gradient by the translated images goes on to the generator as if the discriminator were here.
        adversarial = (self._found * gradient.to(self._device)).sum() / len(self._found)
        loss = adversarial + self._p.cycle * cycle + self._p.identity * identity
        if not torch.isfinite(loss):
            raise FedFactoryError("the loss of the generators is not finite; lower 'learning_rate'")
        self._adams["generators"].zero_grad()
        loss.backward()
        self._adams["generators"].step()
        found = {"cycle": float(cycle.detach()), "identity": float(identity.detach())}
        return {**found, "discriminator": self._discriminator_loss, "gradient norm": self._gradient_norm}


def open_client(client: str, arguments: Mapping[str, Any], seed: int, device: str) -> FedMedGanClient:
    """Open a client's store.

    Args:
        client: its name.
        arguments: its store (``data``), the names of both ``clients``, and ``parameters``.
        seed: of the training.
        device: ``cpu`` or ``cuda``.

    Raises:
        FedFactoryError: bad data.
    """
    p = read(FedMedGanParameters, arguments["parameters"], "parameters")
    images = slices_of(arrays_of(ClientView(Path(arguments["data"]))))
    return FedMedGanClient(client, arguments["clients"], images, p, seed, device)


def arrays_of(view: ClientView) -> dict[str, np.ndarray]:
    """All that a client reads of its store: slices (n, S, S)."""
    return {"images": np.concatenate([np.asarray(volume.images) for volume in view.unlabelled_images()])}


def slices_of(arrays: Mapping[str, np.ndarray]) -> Tensor:
    """Training images (n, 1, S, S) from what :func:`arrays_of` gave."""
    return torch.from_numpy(arrays["images"])[:, None]
