"""Options of an adapter, checked in one place."""

from collections.abc import Mapping
from typing import Any

from fedfactory.errors import FedFactoryError


def read_options(options: Mapping[str, Any], defaults: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Fill an adapter's options with their defaults.

    Args:
        options: what the setup's file says.
        defaults: every option the adapter knows; a type instead of a value marks an option that must be given.
        where: the client, for messages.

    Raises:
        FedFactoryError: an unknown option, a missing one, or one of another type than its default.
    """
    for key in options:
        if key not in defaults:
            raise FedFactoryError(f"{where}: unknown adapter option '{key}'; known are {', '.join(sorted(defaults))}")
    values = {}
    for key, default in defaults.items():
        required = isinstance(default, type)
        if required and key not in options:
            raise FedFactoryError(f"{where}: adapter option '{key}' is missing")
        kind = default if required else type(default)
        values[key] = options.get(key, default)
        if not isinstance(values[key], kind):
            raise FedFactoryError(
                f"{where}: adapter option '{key}' must be of type {kind.__name__}, not {values[key]!r}"
            )
    return values
