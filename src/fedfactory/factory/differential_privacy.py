"""Differential privacy of a client's subjects in the training of the factory, by opacus and its accountant.

Of all that a client's training computes, only the gradient of the discriminator reads an image. What a subject adds to
it is clipped, and noise is added to the sum (DP-SGD; Abadi et al., CCS 2016; for generators Xie et al.,
arXiv:1802.06739). The generator learns from this discriminator and from random numbers, and is as private as it is. So
is everything that the server, other clients and later jobs make of both.

Whatever else would tell of the images is off, or does without them: keys, adaptive augmentation, refinement, and the
client's own slice positions. What a client measures of its factory for the report is not covered, and neither is the
source's branch, which learns from labels.
"""

from __future__ import annotations

import csv
import functools
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fedfactory.errors import FedFactoryError
from fedfactory.factory.parameters import FactoryParameters, FederationParameters, PrivacyParameters
from fedfactory.federation.sampling import sample_clients
from fedfactory.training.seeds import derive_seed

SPENT = "epsilon.csv"
"""File beside the factory: what each client's training spent."""
_ACCOUNTANT = "rdp"


@dataclass(frozen=True)
class Spent:
    """Privacy loss of a client's subjects: (epsilon, delta) for leaving out, or adding, one subject.

    Attributes:
        client: its name.
        epsilon: by opacus's accountant of Renyi divergences (Mironov et al., arXiv:1908.10530).
        delta: as the configuration says.
        noise_multiplier: standard deviation of the noise, in multiples of the clipping norm.
        sample_rate: probability with which a subject takes part in a step.
        steps: of the client's discriminator, over the whole training.
        noise: ``seeded`` or ``secret``.
    """

    client: str
    epsilon: float
    delta: float
    noise_multiplier: float
    sample_rate: float
    steps: int
    noise: str


@functools.cache
def steps_of(p: FederationParameters, clients: int, seed: int) -> tuple[int, ...]:
    """Steps that each client takes in a training with a seed."""
    counts = [0] * clients
    for number in range(p.total_rounds):
        for client in sample_clients(seed, number, clients, p.clients_per_round):
            counts[client] += p.local_steps_of(number)
    return tuple(counts)


@functools.cache
def noise_multiplier(p: PrivacyParameters, steps: int) -> float:
    """Noise by which so many steps spend no more than ``p.epsilon`` at ``p.delta``."""
    from opacus.accountants.utils import get_noise_multiplier

    return get_noise_multiplier(
        target_epsilon=p.epsilon,
        target_delta=p.delta,
        sample_rate=p.sample_rate,
        steps=steps,
        accountant=_ACCOUNTANT,
    )


def spent(parameters: FactoryParameters, seed: int) -> list[Spent]:
    """What a whole training spends at each client; nothing where it is not private."""
    p = parameters.training.privacy
    if p is None:
        return []
    from opacus.accountants import create_accountant

    found, counts = [], steps_of(parameters.federation, len(parameters.clients), seed)
    noise = noise_multiplier(p, max(counts))
    for client, steps in zip(parameters.clients, counts, strict=True):
        accountant = create_accountant(mechanism=_ACCOUNTANT)
        accountant.history = [(noise, p.sample_rate, steps)]
        epsilon = accountant.get_epsilon(delta=p.delta) if steps else 0.0
        found.append(Spent(client, float(epsilon), p.delta, noise, p.sample_rate, steps, p.noise))
    return found


def by_subject(numbers: np.ndarray, parameters: FactoryParameters) -> tuple[Tensor, ...]:
    """Places of each subject's images, where a training is private; nothing where it is not.

    Args:
        numbers: which subject each image is of, (N,).
        parameters: of the factory.

    Raises:
        FedFactoryError: fewer subjects than the bound is for.
    """
    p = parameters.training.privacy
    if p is None:
        return ()
    found = [torch.from_numpy(np.flatnonzero(numbers == number)) for number in np.unique(numbers)]
    if len(found) < p.least_subjects:
        raise FedFactoryError(
            f"{len(found)} subjects train here, and 'factory.training.privacy.least_subjects' is {p.least_subjects}: "
            "for fewer the bound of 'epsilon' does not hold; lower it, which costs more noise, or take no part"
        )
    return tuple(found)


def write_spent(rows: Sequence[Spent], folder: Path) -> None:
    """Write :data:`SPENT` into an existing folder, if there is anything to say."""
    if rows:
        with (folder / SPENT).open("w", newline="") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Spent)], lineterminator="\n")
            writer.writeheader()
            writer.writerows(asdict(row) for row in rows)


@dataclass
class PrivateRound:
    """A client's round in which no subject tells much of itself.

    Attributes:
        p: parameters.
        noise: standard deviation of the noise, in multiples of ``p.clip``.
        stream: random numbers that draw subjects and noise. Whoever knows them can take the noise away: ``secret`` ones
            exist only at the client, and no run gives them again.
    """

    p: PrivacyParameters
    noise: float
    stream: torch.Generator

    @classmethod
    def of(cls, parameters: FactoryParameters, seed: int, client: int, round_number: int) -> PrivateRound | None:
        """A round of a training with a seed; None where it is not private."""
        p = parameters.training.privacy
        if p is None:
            return None
        own = secrets.randbits(63) if p.noise == "secret" else derive_seed("privacy", seed, client, round_number)
        noise = noise_multiplier(p, max(steps_of(parameters.federation, len(parameters.clients), seed)))
        return cls(p, noise, torch.Generator().manual_seed(own))

    def drawn(self, subjects: Sequence[Tensor]) -> list[Tensor]:
        """Slices of a step, by subject: each subject takes part by chance, independent of others (Poisson sampling).

        Args:
            subjects: places (n_i,) of the slices of each subject.

        Returns:
            For each subject that takes part, places (p.slices,) of slices; the same one may be drawn twice.
        """
        taking_part = torch.rand(len(subjects), generator=self.stream) < self.p.sample_rate
        chosen = [places for places, takes_part in zip(subjects, taking_part.tolist(), strict=True) if takes_part]
        return [places[torch.randint(len(places), (self.p.slices,), generator=self.stream)] for places in chosen]

    def gradient(self, parameters: Sequence[nn.Parameter], of_subjects: Sequence[Sequence[Tensor]]) -> list[Tensor]:
        """Gradient of a mean over subjects, each clipped as a whole, with noise: by opacus's optimiser.

        Args:
            parameters: of the network.
            of_subjects: for each subject its gradient by each parameter; no subject is fine.

        Returns:
            By each parameter the noisy sum over ``p.subjects``, whoever took part.
        """
        from opacus.optimizers import DPOptimizer

        private = DPOptimizer(
            torch.optim.SGD(parameters, lr=1.0),
            noise_multiplier=self.noise,
            max_grad_norm=self.p.clip,
            expected_batch_size=self.p.subjects,
            generator=self._on(parameters[0].device),
        )
        for place, parameter in enumerate(parameters):
            each = [gradients[place] for gradients in of_subjects]
            parameter.grad = None
            # Where opacus looks for it.
            samples = torch.stack(each) if each else parameter.new_zeros((0, *parameter.shape))
            parameter.grad_sample = samples  # type: ignore[attr-defined]
        private.pre_step()
        found = [parameter.grad for parameter in parameters if parameter.grad is not None]
        for parameter in parameters:
            parameter.grad = None
            delattr(parameter, "grad_sample")
            delattr(parameter, "summed_grad")
        return found

    def _on(self, device: torch.device) -> torch.Generator:
        """A stream of the noise where the gradients are."""
        if device.type == "cpu":
            return self.stream
        return torch.Generator(device).manual_seed(int(torch.randint(2**62, (), generator=self.stream)))
