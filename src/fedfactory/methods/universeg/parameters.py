"""Parameters of the row UniverSeg."""

from __future__ import annotations

from dataclasses import dataclass

from fedfactory.config.parameters import STRICT, Count
from fedfactory.config.sentences import Misfit
from fedfactory.methods.foundation.parameters import PretrainingParameters
from fedfactory.storage.weights_choice import TINY

_PUBLISHED_SIZE = 128


@dataclass(frozen=True)
class UniverSegParameters:
    """The row UniverSeg.

    Attributes:
        image_size: edge of the images that the network reads.
        weights: name of a file in config/weights.yaml, or ``procedural-tiny`` for a model that the workflow pre-trains.
        features: channels of each level of a model that the workflow pre-trains; published weights have their own.
        pretraining: pre-training of such a model.
    """

    __pydantic_config__ = STRICT
    image_size: Count
    weights: str
    features: tuple[Count, ...] | None = None
    pretraining: PretrainingParameters | None = None

    def __post_init__(self) -> None:
        """Check what one value demands of another."""
        for name in ("features", "pretraining"):
            if (getattr(self, name) is not None) != (self.weights == TINY):
                raise Misfit(name, f"belongs to 'weights: {TINY}', and to nothing else")
        if self.features is not None:
            halvings = len(self.features) - 1
            if halvings < 1 or self.image_size % (1 << halvings):
                raise Misfit(
                    "features",
                    f"needs two levels or more, and {self.image_size} pixels that can be halved for each but the first",
                )
        elif self.image_size != _PUBLISHED_SIZE:
            raise Misfit("image_size", f"published weights read {_PUBLISHED_SIZE} pixels")
        if self.pretraining is not None and self.pretraining.samples < 2:
            raise Misfit("pretraining.samples", "a target and its support set are two at least")
