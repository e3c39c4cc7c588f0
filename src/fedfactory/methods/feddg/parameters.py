"""Parameters of the row FedDG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from fedfactory.config.parameters import STRICT, Count, Part, Positive, Weight


@dataclass(frozen=True)
class FedDGParameters:
    """FedDG (ELCFS): federated averaging over all clients but the target, all of which train in every round.

    Attributes:
        image_size: edge of the images that the network reads; that of the stores or a part of it.
        features: channels of each resolution of the U-Net, finest first.
        rounds: rounds of the federation.
        local_steps: steps of a client in a round.
        checkpoint_every: rounds from one checkpoint to the next.
        deadline: seconds until a silent client is given up.
        batch: slices of a step.
        copies: how often each labelled slice occurs, as it is and deformed; 1 for the slices alone.
        learning_rate: learning rate (Adam).
        betas: decays of Adam's means of gradients and of their squares, in a step; a client keeps both between rounds.
        inner_learning_rate: learning rate of the first part of an episode, a step of plain gradient descent.
        gradient_order: ``first`` takes the inner gradient as a constant, as the authors' code does; ``second``
            differentiates it.
        window: share L of the spectrum whose amplitudes are exchanged.
        bank: slices whose amplitudes a client gives away, evenly picked.
        contrast: weight of the boundary contrast.
        clip: largest norm of the gradient; null for any.
    """

    __pydantic_config__ = STRICT
    image_size: Count
    features: Annotated[tuple[Count, ...], Field(min_length=2)]
    rounds: Count
    local_steps: Count
    batch: Annotated[int, Field(ge=2)]
    copies: Count
    learning_rate: Positive
    betas: tuple[Part, Part]
    inner_learning_rate: Positive
    gradient_order: Literal["first", "second"]
    window: Annotated[float, Field(gt=0, lt=0.5)]
    bank: Count
    contrast: Weight
    clip: Positive | None
    checkpoint_every: Count
    deadline: Count
