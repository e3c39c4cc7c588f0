"""Parameters of the row FedMed-GAN."""

from __future__ import annotations

from dataclasses import dataclass

from fedfactory.config.parameters import STRICT, Count, Natural, Positive, Weight
from fedfactory.federation.parameters import EngineParameters


@dataclass(frozen=True)
class FedMedGanParameters(EngineParameters):
    """FedMed-GAN between the source and one target, and the nnU-Net that segments what it translates.

    Attributes:
        base: the method whose source model segments translated images.
        width: channels of the first layers of generators and discriminators.
        downsamplings: halvings of the generators' resolution.
        blocks: residual blocks of the generators.
        layers: layers of the discriminators, each of which halves the resolution.
        rounds: rounds of the federation.
        local_steps: steps at both clients in a round, after which their generators are averaged.
        batch: images of a step.
        learning_rate: learning rate (Adam, betas 0.5 and 0.999).
        cycle: weight of the cycle's L1 distance.
        identity: weight of the L1 distance that an image of a generator's own look may not move.
        clip: largest norm of the gradient that one image gets through a discriminator.
        noise: standard deviation of the noise on that gradient, as a multiple of ``clip``; 0 for none. No privacy loss
            is computed, and none is claimed.
        checkpoint_every: rounds from one checkpoint to the next.
        deadline: seconds until a silent client is given up.
    """

    __pydantic_config__ = STRICT
    base: str
    width: Count
    downsamplings: Natural
    blocks: Count
    layers: Count
    rounds: Count
    local_steps: Count
    batch: Count
    learning_rate: Positive
    cycle: Weight
    identity: Weight
    clip: Positive
    noise: Weight
    checkpoint_every: Count
    deadline: Count
