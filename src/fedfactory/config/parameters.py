"""Parameters of methods: dataclasses that are checked when they are read, with a sentence for whatever is wrong."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from fedfactory.errors import FedFactoryError

Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
STRICT = ConfigDict(extra="forbid", strict=True)
"""For ``__pydantic_config__``: no unknown key, and no value of another type."""
SETUPS = "setups"
"""Key of what differs from setup to setup."""
T = TypeVar("T")


@dataclass(frozen=True)
class Schedule:
    """Length of a training, and what happens on the way.

    Attributes:
        steps: optimiser steps.
        decay_at: share of the steps after which all rates fall to three tenths; 1 for never.
        clip: largest norm of a network's gradient.
        ema: decay per step of the averaged weights, which are validated and kept; 0 for the last ones.
        validations: how often, evenly spaced, validation Dice is measured, beside the state before the first step.
        accumulate: batches whose mean gradient makes a step, for cards that do not hold a larger batch. Statistics of
            batch normalisation are those of one batch at a time.
    """

    __pydantic_config__ = STRICT
    steps: Count
    decay_at: Share
    clip: Positive
    ema: Annotated[float, Field(ge=0, lt=1)]
    validations: Count
    accumulate: Count = 1


def read(kind: type[T], values: Any, key: str) -> T:
    """Build one of these dataclasses from plain data.

    Args:
        kind: the dataclass.
        values: mappings, lists, strings and numbers.
        key: where they stand, for messages.

    Raises:
        FedFactoryError: a sentence with the key for the first thing that does not fit.
    """
    try:
        # JSON has lists only, so that a tuple may be given as one; types are strict otherwise.
        return TypeAdapter(kind).validate_json(json.dumps(values))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in (key, *first["loc"]))
        raise FedFactoryError(f"key '{place}': {_SENTENCES.get(first['type'], first['msg'])}") from None


# Pydantic's own words are of fields and instances; these are of keys.
_SENTENCES = {"missing": "is missing", "unexpected_keyword_argument": "is unknown", "extra_forbidden": "is unknown"}


def merged(values: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Values with others laid over them, mapping by mapping, as Snakemake merges configuration files."""
    found = dict(values)
    for key, value in own.items():
        both = isinstance(value, Mapping) and isinstance(values.get(key), Mapping)
        found[key] = merged(values[key], value) if both else value
    return found


def for_setup(values: Mapping[str, Any], setup: str) -> dict[str, Any]:
    """A method's parameters for one setup: what stands below ``setups.<setup>`` is laid over the others."""
    common = {key: value for key, value in values.items() if key != SETUPS}
    return merged(common, values.get(SETUPS, {}).get(setup, {}))


def check_setups(values: Mapping[str, Any], setups: Collection[str], key: str) -> None:
    """Check the part of a method's parameters that differs from setup to setup.

    Raises:
        FedFactoryError: it is no mapping of mappings, or names a setup that there is not.
    """
    own = values.get(SETUPS, {})
    if not isinstance(own, Mapping) or not all(isinstance(value, Mapping) for value in own.values()):
        raise FedFactoryError(f"key '{key}.{SETUPS}': must hold a mapping for each setup; leave it out")
    for name in own:
        if name not in setups:
            raise FedFactoryError(f"key '{key}.{SETUPS}.{name}': there is no such setup")
