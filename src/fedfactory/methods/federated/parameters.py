"""Parameters of a federation that trains a segmentation network on labels of its clients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from fedfactory.config.parameters import STRICT, Count, Part, Positive


@dataclass(frozen=True)
class SegmentationParameters:
    """Federated averaging of a U-Net; all clients train in every round.

    Attributes:
        image_size: edge of the images that the network reads; that of the stores or a part of it.
        features: channels of each resolution of the U-Net, finest first.
        convolutions: of each resolution, on the way down and on the way up.
        rounds: rounds of the federation.
        local_steps: steps of a client in a round.
        batch: slices of a step.
        copies: how often each labelled slice occurs, as it is and deformed; 1 for the slices alone.
        learning_rate: learning rate (Adam).
        betas: decays of Adam's means of gradients and of their squares, in a step; a client keeps both between rounds.
        clip: largest norm of the gradient; null for any.
        checkpoint_every: rounds from one checkpoint to the next.
        deadline: seconds until a silent client is given up.
    """

    __pydantic_config__ = STRICT
    image_size: Count
    features: Annotated[tuple[Count, ...], Field(min_length=2)]
    convolutions: Count
    rounds: Count
    local_steps: Count
    batch: Annotated[int, Field(ge=2)]
    copies: Count
    learning_rate: Positive
    betas: tuple[Part, Part]
    clip: Positive | None
    checkpoint_every: Count
    deadline: Count
