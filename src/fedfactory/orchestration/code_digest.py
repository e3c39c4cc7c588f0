"""A digest of exactly the code that a rule runs.

Snakemake re-runs a ``shell:`` rule when its parameters change, but does not look into the Python modules that the
script imports. Every rule therefore carries this digest among its parameters: editing one method re-runs that method's
cells and no other, while touching a file, or editing and reverting it, re-runs nothing. A job gets the digest that was
planned on its command line, and computes it again of what it has loaded, when it starts and before it puts anything in
its place (:class:`PlannedCode`).
"""

import ast
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import CodeType
from typing import Self

from fedfactory.orchestration import sources
from fedfactory.orchestration.sources import ROOT, changed, content_of

_SEPARATOR = "+"
_PLAN = "FEDFACTORY_PLANNED_CODE"
# They start a job, watch it and write its log and its record, none of which is a result: weeks of training need not be
# repeated for another word in a log. A rule whose result is made of records names them (rules/evaluation.smk).
_WATCHERS = frozenset(
    {
        *("orchestration/job.py", "orchestration/line_log.py", "orchestration/progress.py"),
        *("orchestration/sources.py", "orchestration/code_digest.py"),
        *("provenance/record.py", "provenance/energy.py", "provenance/memory.py"),
    }
)
# The settings of every job, by which all bits are computed.
_EVERYWHERE = f"{ROOT.name}.orchestration.portable"


@dataclass(frozen=True)
class PlannedCode:
    """The code that a job was planned with, as it stands on its command line: ``<digest>[+<module>...]``.

    Attributes:
        script: the workflow script.
        digest: the first 16 hexadecimal digits of a SHA-256.
        modules: full names of modules that are imported by name at run time (an adapter), which no syntax tree shows.
    """

    script: Path
    digest: str
    modules: tuple[str, ...]

    @classmethod
    def plan(cls, script: Path, *modules: str) -> Self:
        """The code of a script as it is now."""
        return cls(script, code_digest(script, *modules), modules)

    @classmethod
    def read(cls, script: Path, text: str) -> Self:
        """Read what a command line says."""
        digest, *modules = text.split(_SEPARATOR)
        return cls(script, digest, tuple(modules))

    def __str__(self) -> str:
        """As it stands on a command line."""
        return _SEPARATOR.join((self.digest, *self.modules))

    def check(self, loaded: CodeType) -> None:
        """Compare with what this process has loaded, and with the files it may still load.

        Args:
            loaded: code of the whole script, as Python has compiled it.

        Raises:
            FedFactoryError: they are not the planned ones.
        """
        contents = _closure(self.script, self.modules)
        script = compile(contents[f"script/{self.script.name}"], self.script, "exec", dont_inherit=True)
        if _digest(contents) != self.digest or loaded != script:
            raise changed(f"{self.script.name}, or a module that it imports")
        sources.expect({name: content for name, content in contents.items() if not name.startswith("script/")})


class CodePlan:
    """The code of all jobs of a workflow, as it was when a person started Snakemake.

    Snakemake on the node of a cluster job finds the plan in its environment, whatever the files are by then.

    Args:
        takes_over: whether this Snakemake runs a job that another one planned.
    """

    def __init__(self, takes_over: bool) -> None:
        self._planned: dict[str, str] = json.loads(os.environ.get(_PLAN, "{}")) if takes_over else {}
        os.environ[_PLAN] = json.dumps(self._planned)

    def code(self, script: Path, *modules: str) -> str:
        """What the command line of a job says of its code: see :class:`PlannedCode`."""
        name = _SEPARATOR.join((script.name, *modules))
        if name not in self._planned:
            self._planned[name] = str(PlannedCode.plan(script, *modules))
            os.environ[_PLAN] = json.dumps(self._planned)
        return self._planned[name]


@cache
def code_digest(script: Path, *modules: str) -> str:
    """Digest a script together with all modules of this package that it imports, directly or not.

    Imports are read from the syntax tree, those inside functions included, so the list cannot be forgotten; modules
    that only watch a job are left out, with what they alone import. Content counts, not the time of a file.

    Args:
        script: path of a Python script.
        modules: full names of modules that are imported by name at run time (an adapter), which no syntax tree shows.

    Returns:
        The first 16 hexadecimal digits of a SHA-256.
    """
    return _digest(_closure(script, modules))


def content_digest(*files: Path) -> str:
    """Digest of files that a script reads beside its arguments: templates, tables. 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _digest(contents: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256()
    for name, content in sorted(contents.items()):
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _closure(script: Path, modules: tuple[str, ...] = ()) -> dict[str, bytes]:
    """All files a script depends on, as ``{name independent of where the project lies: content}``."""
    found = {f"script/{script.name}": script.read_bytes()}
    named = set().union(*(_files(module) for module in modules))
    todo = _imports(found[f"script/{script.name}"]) | named | _files(_EVERYWHERE)
    while todo:
        path = todo.pop()
        name = path.relative_to(ROOT).as_posix()
        if name not in found and (name not in _WATCHERS or path in named):
            found[name] = content_of(path)
            todo |= _imports(found[name])
    return found


@cache
def _imports_of(content: bytes) -> frozenset[str]:
    modules: set[str] = set()
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise ValueError("relative imports are not used in this project: the code digest would miss them")
            modules.add(node.module or "")
            modules.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(modules)


def _imports(content: bytes) -> set[Path]:
    """Files of this package that a file of this content imports."""
    return set().union(*(_files(module) for module in _imports_of(content)))


def _files(module: str) -> set[Path]:
    """Files that importing a module of this package runs: for a.b.c also a.b and a; none for other packages."""
    parts = module.split(".")
    if parts[0] != ROOT.name:
        return set()
    bases = [ROOT.joinpath(*parts[1:length]) for length in range(2, len(parts) + 1)]
    return {path for base in bases for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()}
