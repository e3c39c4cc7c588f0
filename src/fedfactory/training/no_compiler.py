"""A stand-in for torch's compiler, which no job on a CPU uses.

Every optimiser of torch asks the compiler to leave it alone, and imports it for that: more than a second of each
training, and of each prediction of nnU-Net. There is no switch. The stand-in answers these questions, and gives way to
the real module when anything else is asked of it, or one of its submodules is imported.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, MutableSequence, Sequence
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_NAME = "torch._dynamo"


class _StandIn(ModuleType):
    # A package without files: submodules are asked of the finder below.
    __path__: MutableSequence[str] = []
    OptimizedModule = type("OptimizedModule", (), {"__doc__": "What a compiled network is an instance of: none here."})

    @staticmethod
    def graph_break(msg: str = "") -> None:
        """Nothing is compiled, so there is no graph to break."""

    @staticmethod
    def disable(fn: Callable[..., Any] | None = None, recursive: bool = True, **_: Any) -> Callable[..., Any]:
        """Nothing is compiled, so a function is left alone as it is."""
        return fn if fn is not None else lambda function: function

    def __getattr__(self, name: str) -> Any:
        # inspect asks every module for its file.
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_real(), name)


class _GiveWay:
    """Finds submodules of the compiler while the stand-in is there: the real package comes first."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if not name.startswith(f"{_NAME}.") or not isinstance(sys.modules.get(_NAME), _StandIn):
            return None
        package = _real()
        # The package has imported most of its submodules itself: they must not be executed a second time.
        loaded = sys.modules.pop(name, None)
        return PathFinder.find_spec(name, package.__path__) if loaded is None else ModuleSpec(name, _Loaded(loaded))


class _Loaded(Loader):
    """Loads a module that has been loaded."""

    def __init__(self, module: ModuleType) -> None:
        self._module, self._spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec


def do_without_compiler() -> None:
    """Put the stand-in where torch looks for its compiler, unless that is loaded already."""
    if _NAME not in sys.modules:
        sys.modules[_NAME] = _StandIn(_NAME)
        sys.meta_path.insert(0, _GiveWay)


def _real() -> ModuleType:
    if isinstance(sys.modules.get(_NAME), _StandIn):
        del sys.modules[_NAME]
        sys.meta_path.remove(_GiveWay)
    return importlib.import_module(_NAME)
