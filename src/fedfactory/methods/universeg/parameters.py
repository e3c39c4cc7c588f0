"""Parameters of the row UniverSeg."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from fedfactory.config.parameters import STRICT, Count, read
from fedfactory.errors import FedFactoryError
from fedfactory.methods.foundation.parameters import PretrainingParameters
from fedfactory.storage.weights_choice import TINY

_PUBLISHED_SIZE = 128


@dataclass(frozen=True)
class UniverSegParameters:
    """The row UniverSeg.

    Attributes:
        image_size: edge of the images that the network reads.
        weights: name of a file in config/weights.yaml, or ``procedural-tiny`` for a model that the workflow pre-trains.
        features: of each level of a model that the workflow pre-trains; published weights have their own.
        pretraining: of such a model.
    """

    __pydantic_config__ = STRICT
    image_size: Count
    weights: str
    features: tuple[Count, ...] | None = None
    pretraining: PretrainingParameters | None = None

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], key: str) -> Self:
        """Check a method's parameters.

        Args:
            values: as they stand in the configuration.
            key: where they stand, for messages.

        Raises:
            FedFactoryError: a missing or unknown key, a value of the wrong type or range, or values that do not fit.
        """
        p = read(cls, values, key)
        for name in ("features", "pretraining"):
            if (getattr(p, name) is not None) != (p.weights == TINY):
                raise FedFactoryError(f"key '{key}.{name}': belongs to 'weights: {TINY}', and to nothing else")
        if p.features is not None:
            halvings = len(p.features) - 1
            if halvings < 1 or p.image_size % (1 << halvings):
                raise FedFactoryError(
                    f"key '{key}.features': needs two levels or more, and {p.image_size} pixels that can be halved for "
                    "each but the first"
                )
        elif p.image_size != _PUBLISHED_SIZE:
            raise FedFactoryError(f"key '{key}.image_size': published weights read {_PUBLISHED_SIZE} pixels")
        if p.pretraining is not None:
            p.pretraining.check(f"{key}.pretraining")
            if p.pretraining.samples < 2:
                raise FedFactoryError(f"key '{key}.pretraining.samples': a target and its support set are two at least")
        return p
