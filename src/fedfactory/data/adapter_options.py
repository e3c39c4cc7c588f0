"""Options of an adapter, checked in one place."""

from collections.abc import Mapping
from dataclasses import asdict, field, make_dataclass
from typing import Any

from fedfactory.config.parameters import STRICT, read


def read_options(options: Mapping[str, Any], defaults: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Fill an adapter's options with their defaults.

    Args:
        options: what the setup's file says.
        defaults: every option the adapter knows; a type instead of a value marks an option that must be given.
        where: the client, for messages.

    Raises:
        FedFactoryError: an unknown option, a missing one, or one of another type than its default.
    """
    needed = [(name, kind) for name, kind in defaults.items() if isinstance(kind, type)]
    filled = [
        (name, type(default), field(default_factory=lambda default=default: default))
        for name, default in defaults.items()
        if not isinstance(default, type)
    ]
    kind = make_dataclass("Options", [*needed, *filled], namespace={"__pydantic_config__": STRICT})
    return asdict(read(kind, dict(options), "options", where))
