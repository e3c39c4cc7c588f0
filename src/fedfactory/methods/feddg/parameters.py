"""Parameters of the row FedDG."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from fedfactory.config.parameters import STRICT, Count, Positive, Weight
from fedfactory.federation.parameters import EngineParameters
from fedfactory.methods.federated.parameters import SegmentationParameters


@dataclass(frozen=True)
class FedDGParameters(EngineParameters, SegmentationParameters):
    """FedDG (ELCFS): federated averaging over all clients but the target.

    Attributes:
        inner_learning_rate: learning rate of the first part of an episode, a step of plain gradient descent.
        gradient_order: ``first`` takes the inner gradient as a constant, as the authors' code does; ``second``
            differentiates it.
        window: share L of the spectrum whose amplitudes are exchanged.
        bank: slices whose amplitudes a client gives away, evenly picked.
        contrast: weight of the boundary contrast.
    """

    __pydantic_config__ = STRICT
    inner_learning_rate: Positive
    gradient_order: Literal["first", "second"]
    window: Annotated[float, Field(gt=0, lt=0.5)]
    bank: Count
    contrast: Weight
