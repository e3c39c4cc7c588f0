"""Parameters of methods: dataclasses that are checked when they are read, with a sentence for whatever is wrong."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from fedfactory.config.sentences import DIGEST, LABEL, NAME, sentence
from fedfactory.errors import FedFactoryError

Count = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Part = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=NAME)]
Label = Annotated[str, Field(pattern=LABEL)]
Text = Annotated[str, Field(min_length=1)]
Digest = Annotated[str, Field(pattern=DIGEST)]
STRICT = ConfigDict(extra="forbid", strict=True)
"""For ``__pydantic_config__``: no unknown key, and no value of another type."""
SETUPS = "setups"
"""Key of what differs from setup to setup."""
LIKE = "like"
"""Key by which a method names another one, whose parameters it has where it says nothing else."""
T = TypeVar("T")


@dataclass(frozen=True)
class Schedule:
    """Length of a training, and what happens on the way.

    Attributes:
        steps: optimiser steps.
        decay_at: share of the steps after which all rates fall to three tenths; 1 for never.
        clip: largest norm of a network's gradient; null for any.
        ema: decay per step of the averaged weights, which are validated and kept; 0 for the last ones.
        validations: how often, evenly spaced, validation Dice is measured, beside the state before the first step.
        accumulate: batches whose mean gradient makes a step, for cards that do not hold a larger batch. Statistics of
            batch normalisation are those of one batch at a time.
    """

    __pydantic_config__ = STRICT
    steps: Count
    decay_at: Share
    clip: Positive | None
    ema: Part
    validations: Count
    accumulate: Count = 1


def _as_written(value: Any, check: ValidatorFunctionWrapHandler) -> Any:
    check(value)
    return value


AS_WRITTEN = WrapValidator(_as_written)
"""Checked, but kept: files of results hold these numbers, and 2 is not the text of 2.0."""


def _unique(values: tuple[Any, ...]) -> tuple[Any, ...]:
    twice = [value for value in values if values.count(value) > 1]
    if twice:
        raise ValueError(f"{twice[0]!r} is given twice; remove one")
    return values


UNIQUE = AfterValidator(_unique)
"""For lists that name nothing twice."""


@dataclass(frozen=True)
class OneOf:
    """One of some texts that stand in a list elsewhere; the schema has them as well.

    Attributes:
        names: all of them.
    """

    names: tuple[str, ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The check."""
        return core_schema.no_info_after_validator_function(self._known, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The list."""
        return {**handler(schema), "enum": list(self.names)}

    def _known(self, value: str) -> str:
        if value not in self.names:
            raise ValueError(f"{value!r} is unknown; known are {', '.join(self.names)}")
        return value


def read(kind: type[T], values: Any, key: str, file: str = "") -> T:
    """Build one of these dataclasses from plain data: the one checker of all that a user configures.

    Args:
        kind: the dataclass.
        values: mappings, lists, strings and numbers.
        key: where they stand, for messages; empty for a file of its own.
        file: in which file, for messages.

    Raises:
        FedFactoryError: a sentence with the file and the key that does not fit.
    """
    asked: Any = kind
    adapter = _adapter(asked)
    try:
        # JSON has lists only, so that a tuple may be given as one; types are strict otherwise.
        return adapter.validate_json(json.dumps(values, default=str))
    except ValidationError as error:
        told = sentence(error, adapter, values, key)
        raise FedFactoryError(f"{file}: {told}" if file else told) from None


@cache
def _adapter(kind: type[T]) -> TypeAdapter[T]:
    return TypeAdapter(kind)


def in_order(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as they are written, but in the order of a dataclass: for files whose bytes follow no other file's order.

    Args:
        kind: the dataclass.
        values: what :func:`read` accepts for it.
    """
    return {field.name: values[field.name] for field in fields(kind) if field.name in values}


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
