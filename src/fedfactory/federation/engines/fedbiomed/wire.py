"""A message as Fed-BioMed carries it: where other trainings have the weights of one model.

Each array's name begins with its field. What Fed-BioMed adds, the weights of the model that it holds, has no such name.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from fedfactory.federation.client import Message

# Part of no name that a module of torch gives to a parameter.
_SEPARATOR = "/"


def carried(message: Message) -> dict[str, Tensor]:
    """All arrays of a message, by field and name."""
    return {f"{field}{_SEPARATOR}{name}": array for field, arrays in message.items() for name, array in arrays.items()}


def message_of(arrays: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """What :func:`carried` was given; other arrays are left out."""
    message: dict[str, dict[str, Tensor]] = {}
    for whole, array in arrays.items():
        field, separator, name = whole.partition(_SEPARATOR)
        if separator:
            message.setdefault(field, {})[name] = array
    return message


def without_message(arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The arrays that belong to no message."""
    return {name: array for name, array in arrays.items() if _SEPARATOR not in name}
