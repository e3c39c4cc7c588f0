"""What happens at a client in one round: a few steps of adversarial training on its own images.

Both engines call :func:`local_round`, so that the same seed gives the same weights with either.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from fedfactory.factory import losses
from fedfactory.factory.augmentation import AdaptiveProbability, augment
from fedfactory.factory.differential_privacy import PrivateRound
from fedfactory.factory.networks import FactoryModel
from fedfactory.factory.parameters import FactoryParameters, TrainingParameters
from fedfactory.training.seeds import derive_seed

# Share of the passes that see the key.
_KEY_SEEN = {"mean": 1.0, "key_dominant": 0.5, "label": 0.0}

LOSS_COLUMNS = ("discriminator", "generator", "r1", "path_length", "refinement", "augmentation")
"""What :func:`local_round` returns, in every round at least the last one."""

Encode = Callable[[Tensor], Tensor]
_Loss = tuple[Tensor, dict[str, float]]
"""A loss with its graph, and figures for the log."""
_Fakes = tuple[Tensor, Tensor, bool]
"""Generated images, their slice positions, and whether they saw the key."""


@dataclass(frozen=True)
class ClientImages:
    """What a client holds and never sends, but for its key.

    Attributes:
        index: the client's place k in the label embedding.
        images: (N, 1, S, S) float32 in [-1, 1], on the CPU: a release can be larger than a card's memory.
        positions: (N,) int64, slice-position bins.
        key: (key_size,) float32, the client's CLIP key.
        encode: the key's encoder, (B, 1, S, S) -> (B, key_size), L2-normalised; needed in refinement rounds only.
        subjects: places (n_i,) of the images of each subject; needed for differential privacy only.
    """

    index: int
    images: Tensor
    positions: Tensor
    key: Tensor
    encode: Encode | None = None
    subjects: tuple[Tensor, ...] = ()


class LocalState:
    """What a client keeps from round to round: optimisers, augmentation, running means and counters."""

    def __init__(self, model: FactoryModel, training: TrainingParameters) -> None:
        """Start anew for a model."""
        self.restart(model, training)

    def restart(self, model: FactoryModel, training: TrainingParameters) -> None:
        """Forget everything, as a client does that joins."""
        self.optimisers = {
            "discriminator": _adam(model.discriminator, training.learning_rate, training.r1_every),
            "generator": _adam(model.generator, training.learning_rate, training.path_length_every),
        }
        self.augmentation = AdaptiveProbability(training.augment_target, training.augment_speed)
        self.path_mean = 0.0
        self.passes = {"discriminator": 0, "generator": 0}

    def state_dict(self, optimisers: bool = True) -> dict[str, Any]:
        """Tensors, numbers and dictionaries; loads with ``torch.load(weights_only=True)``.

        Args:
            optimisers: whether theirs is part of it; all starts anew in every round if they do not persist.
        """
        kept = self.optimisers if optimisers else {}
        return {
            "optimisers": {name: optimiser.state_dict() for name, optimiser in kept.items()},
            "augmentation": {"p": self.augmentation.p, "sign": self.augmentation.sign},
            "path_mean": self.path_mean,
            "passes": dict(self.passes),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where :meth:`state_dict` was taken."""
        for name, saved in state["optimisers"].items():
            self.optimisers[name].load_state_dict(saved)
        self.augmentation.p, self.augmentation.sign = (state["augmentation"][name] for name in ("p", "sign"))
        self.path_mean = state["path_mean"]
        self.passes = dict(state["passes"])


def local_round(
    model: FactoryModel,
    state: LocalState,
    client: ClientImages,
    parameters: FactoryParameters,
    seed: int,
    round_number: int,
) -> dict[str, float]:
    """Train a model on one client's images for one round, in place.

    Every random number of the round derives from (seed, round, client): the round can be run again, alone, by either
    engine, and gives the same weights with the same number of threads.

    Args:
        model: the aggregated model; holds the client's model afterwards.
        state: of the client, continued in place with ``persistent_optimisers: true``, else begun anew.
        client: its images and its key.
        parameters: of the factory.
        seed: of the training.
        round_number: counted from 0 over both stages; from ``federation.rounds`` on it is a refinement round, whose
            generator also approaches the client's key (paper, section 3.1).

    Returns:
        Means over the round of the losses that were computed (keys ``discriminator``, ``generator``, ``r1``,
        ``path_length``, ``refinement``), and ``augmentation``, the probability at its end.

    Raises:
        ValueError: a refinement round at a client without an encoder.
    """
    federation = parameters.federation
    if round_number >= federation.rounds and client.encode is None:
        raise ValueError("a refinement round needs the encoder of the key")
    if not federation.persistent_optimisers:
        state.restart(model, parameters.training)
    model.compute_in(getattr(torch, parameters.training.precision))
    _reseed(derive_seed("round", seed, round_number, client.index))
    private = PrivateRound.of(parameters, seed, client.index, round_number)
    step = _Step(model, state, client, parameters, round_number >= federation.rounds, private)
    found: dict[str, list[float]] = {}
    for work in step.schedule(federation.local_steps_of(round_number)):
        for name, value in work().items():
            found.setdefault(name, []).append(value)
    means = {name: float(np.mean(values)) for name, values in found.items()}
    return {**means, "augmentation": state.augmentation.p}


@dataclass
class _Step:
    """The passes that steps are made of."""

    model: FactoryModel
    state: LocalState
    client: ClientImages
    parameters: FactoryParameters
    refine: bool
    private: PrivateRound | None = None
    _shared: _Fakes | None = field(default=None, init=False)

    @property
    def training(self) -> TrainingParameters:
        return self.parameters.training

    @property
    def _device(self) -> torch.device:
        return self.client.key.device

    def schedule(self, steps: int) -> Iterator[Callable[[], dict[str, float]]]:
        """Passes of some steps; counters run on from round to round, so that lazy passes come due in short rounds."""
        for number in range(steps):
            if self.training.counting == "pair":
                if self.training.shared_fakes:
                    yield self.make
                if self.private:
                    yield self.discriminate_privately
                else:
                    yield self.discriminate
                    if self._due("discriminator", self.training.r1_every):
                        yield self.penalise
                yield self.generate
                if self._due("generator", self.training.path_length_every):
                    yield self.regularise
            elif number % 2 == 0:
                due = self._due("discriminator", self.training.r1_every)
                yield self.penalise if due else self.discriminate
            else:
                due = self._due("generator", self.training.path_length_every)
                yield self.regularise if due else self.generate

    def make(self) -> dict[str, float]:
        """Generate the images that both networks' passes of this step see; the generator's graph stays."""
        self._shared = self._fakes()
        return {}

    def discriminate(self) -> dict[str, float]:
        """Teach the discriminator to tell real images from generated ones."""
        return self._accumulated("discriminator", self._discriminate)

    def discriminate_privately(self) -> dict[str, float]:
        """The same, and R1 where it is due, with a bound on what any subject adds to the gradient."""
        assert self.private is not None
        network, optimiser = self.model.discriminator, self.state.optimisers["discriminator"]
        penalised = self._due("discriminator", self.training.r1_every)
        with _learning_alone(self.model, "discriminator"):
            images, positions, use_key = self._fakes() if self._shared is None else self._shared
            loss = softplus(self._scores(images.detach(), positions, use_key)).mean()
            parameters = list(network.parameters())
            own = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
            parts = [
                torch.autograd.grad(
                    self._of_subject(places, penalised), parameters, allow_unused=True, materialize_grads=True
                )
                for places in self.private.drawn(self.client.subjects)
            ]
            noisy = self.private.gradient(parameters, parts)
            for parameter, first, second in zip(parameters, own, noisy, strict=True):
                parameter.grad = first + second
            optimiser.step()
        return {"discriminator": float(loss.detach())}

    def _of_subject(self, places: Tensor, penalised: bool) -> Tensor:
        """Loss of some real images."""
        images, positions = self.client.images[places].to(self._device), self.client.positions[places]
        scores = self._scores(images.requires_grad_(penalised), positions, False)
        loss = softplus(-scores).mean()
        if penalised:
            loss = loss + self.training.r1 / 2 * self.training.r1_every * losses.r1_penalty(scores, images)
        return loss

    def penalise(self) -> dict[str, float]:
        """R1: keep the discriminator flat around real images."""
        return self._accumulated("discriminator", self._penalise)

    def generate(self) -> dict[str, float]:
        """Teach the generator to make images that the discriminator takes for real."""
        return self._accumulated("generator", self._generate)

    def regularise(self) -> dict[str, float]:
        """Path length: a step in w moves the image by the same length everywhere. Half a batch, as usual."""
        return self._accumulated("generator", self._regularise)

    def _accumulated(self, network: str, loss_of_a_batch: Callable[[], _Loss]) -> dict[str, float]:
        """One update of a network by the mean loss of one or several batches; the other one gets no gradients."""
        optimiser, passes = self.state.optimisers[network], self.training.accumulate
        found: dict[str, float] = {}
        with _learning_alone(self.model, network):
            optimiser.zero_grad(set_to_none=True)
            for _ in range(passes):
                loss, figures = loss_of_a_batch()
                (loss if passes == 1 else loss / passes).backward()
                for name, value in figures.items():
                    found[name] = found.get(name, 0.0) + value / passes
            optimiser.step()
        return found

    def _discriminate(self) -> _Loss:
        images, positions = self._real(self.training.batch)
        if self._shared is None:
            with torch.no_grad():
                fake, fake_positions, use_key = self._fakes()
        else:
            fake, fake_positions, use_key = self._shared
        both = self._augment(torch.cat([images, fake.detach()]))
        scores = self._scores(both, torch.cat([positions, fake_positions]), use_key, parts=2)
        real_scores, fake_scores = scores.chunk(2)
        loss = losses.discriminator_loss(real_scores, fake_scores)
        self.state.augmentation.update(float(real_scores.detach().sign().mean()), len(images))
        return loss, {"discriminator": float(loss.detach())}

    def _penalise(self) -> _Loss:
        images, positions = self._real(self.training.batch)
        use_key = self._use_key()
        images.requires_grad_(True)
        penalty = losses.r1_penalty(self._scores(self._augment(images), positions, use_key), images)
        # Applied once in r1_every passes, so it counts that many times (lazy regularisation).
        return self.training.r1 / 2 * self.training.r1_every * penalty, {"r1": float(penalty.detach())}

    def _generate(self) -> _Loss:
        images, positions, use_key = self._fakes() if self._shared is None else self._shared
        loss = losses.generator_loss(self._scores(self._augment(images), positions, use_key))
        found = {"generator": float(loss.detach())}
        if self.refine:
            assert self.client.encode is not None, "checked before the round"
            key = self.client.key.expand(len(images), -1)
            distance = losses.spherical_distance(self.client.encode(images), key).mean()
            loss = loss + self.training.refinement_weight * distance
            found["refinement"] = float(distance.detach())
        return loss, found

    def _regularise(self) -> _Loss:
        count = max(1, self.training.batch // 2)
        positions, use_key = self._positions(count), self._use_key()
        generator = self.model.generator
        client, key = self._client(count)
        styles = generator.styles(self._latent(count), client, positions, key, use_key)
        images = generator.synthesise(styles, zoom=generator.zoom_of(client))
        direction, before = torch.randn_like(images), images.new_tensor(self.state.path_mean)
        penalty, mean = losses.path_length_penalty(images, styles, direction, before, self.training.path_length_decay)
        self.state.path_mean = float(mean)
        loss = self.training.path_length * self.training.path_length_every * penalty
        return loss, {"path_length": float(penalty.detach())}

    def _due(self, network: str, every: int) -> bool:
        count = self.state.passes[network]
        self.state.passes[network] = count + 1
        return every > 0 and count % every == 0

    def _use_key(self) -> bool:
        """Whether this pass sees the key: always with equation 1, in half of the passes where it dominates."""
        share = _KEY_SEEN[self.parameters.network.weighting]
        return share == 1 or (share > 0 and bool(torch.rand(()) < share))

    def _real(self, count: int) -> tuple[Tensor, Tensor]:
        chosen = torch.randint(len(self.client.images), (count,))
        return self.client.images[chosen].to(self._device), self.client.positions[chosen]

    def _positions(self, count: int) -> Tensor:
        """Slice positions for generated images, distributed as the client's own; any where these are private."""
        if self.private:
            return torch.randint(self.parameters.network.position_bins, (count,), device=self._device)
        return self.client.positions[torch.randint(len(self.client.positions), (count,))]

    def _client(self, count: int) -> tuple[Tensor, Tensor]:
        return torch.full((count,), self.client.index, device=self._device), self.client.key.expand(count, -1)

    def _latent(self, count: int) -> Tensor:
        # Drawn on the CPU: a GPU's stream of random numbers is another one.
        return torch.randn(count, self.parameters.network.latent).to(self._device)

    def _fakes(self) -> _Fakes:
        count = self.training.batch
        use_key, positions = self._use_key(), self._positions(count)
        client, key = self._client(count)
        mix = None
        if self.training.mixing and torch.rand(()) < self.training.mixing:
            mix = (self._latent(count), int(torch.randint(1, self.model.generator.n_styles, ())))
        images = self.model.generator(self._latent(count), client, positions, key, mix=mix, use_key=use_key)
        return images, positions, use_key

    def _augment(self, images: Tensor) -> Tensor:
        if not self.training.augment_target:
            return images
        return augment(images, self.state.augmentation.p, self.training.flip)

    def _scores(self, images: Tensor, positions: Tensor, use_key: bool, parts: int = 1) -> Tensor:
        client, key = self._client(len(images))
        return self.model.discriminator(images, client, positions, key, use_key=use_key, parts=parts)


@contextmanager
def _learning_alone(model: FactoryModel, network: str) -> Iterator[None]:
    """Inside the block one network's parameters ask for gradients; the other's would be thrown away."""
    try:
        for name, part in model.named_children():
            part.requires_grad_(name == network)
        yield
    finally:
        model.requires_grad_(True)


def _adam(network: nn.Module, rate: float, every: int) -> torch.optim.Adam:
    """Adam corrected for lazy regularisation (Karras et al., CVPR 2020, appendix B)."""
    ratio = every / (every + 1) if every else 1.0
    return torch.optim.Adam(network.parameters(), lr=rate * ratio, betas=(0.0, 0.99**ratio), fused=True)


def _reseed(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
