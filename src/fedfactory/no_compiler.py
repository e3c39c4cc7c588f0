"""A stand-in for torch's compiler, which no job on a CPU uses.

Every optimiser of torch asks the compiler to leave it alone, and imports it for that: more than a second of each
training, and of each prediction of nnU-Net. There is no switch. The stand-in answers these questions, and gives way to
the real module when anything else is asked of it. It is no package: a process that wants to compile must not call this.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

_NAME = "torch._dynamo"


class _StandIn(ModuleType):
    OptimizedModule = type("OptimizedModule", (), {"__doc__": "What a compiled network is an instance of: none here."})

    @staticmethod
    def graph_break(msg: str = "") -> None:
        """Nothing is compiled, so there is no graph to break."""

    @staticmethod
    def disable(fn: Callable[..., Any] | None = None, recursive: bool = True, **_: Any) -> Callable[..., Any]:
        """Nothing is compiled, so a function is left alone as it is."""
        return fn if fn is not None else lambda function: function

    def __getattr__(self, name: str) -> Any:
        # Python asks every module whether it is a package, and inspect asks for its file.
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(_NAME) is self:
            del sys.modules[_NAME]
        return getattr(importlib.import_module(_NAME), name)


def do_without_compiler() -> None:
    """Put the stand-in where torch looks for its compiler, unless that is loaded already."""
    sys.modules.setdefault(_NAME, _StandIn(_NAME))
