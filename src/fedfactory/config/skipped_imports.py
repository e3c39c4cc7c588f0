"""Modules that a library imports and this project never uses, left out: seconds of every job."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, NoReturn


class _StandIn(ModuleType):
    """A module that has every name, each of which refuses to be called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def refuse(*_: object, **__: object) -> NoReturn:
            raise RuntimeError(
                f"{self.__name__}.{name} was left out when its library was imported (config/skipped_imports.py)"
            )

        return refuse


@contextmanager
def without(*modules: str) -> Iterator[None]:
    """Inside the block modules that are not imported yet are stand-ins; whoever imports them there keeps those."""
    stand_ins = {name: _StandIn(name) for name in modules if name not in sys.modules}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name in stand_ins:
            del sys.modules[name]
