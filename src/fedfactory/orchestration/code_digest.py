"""A digest of exactly the code that a rule runs.

Snakemake re-runs a ``shell:`` rule when its parameters change, but does not look into the Python modules that the
script imports. Every rule therefore carries this digest among its parameters: editing one method re-runs that method's
cells and no other, while touching a file, or editing and reverting it, re-runs nothing.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

_PACKAGE_ROOT = Path(__file__).parents[1]
_PACKAGE = _PACKAGE_ROOT.name
# They start a job, watch it and tell of it, and decide nothing about what it writes: weeks of training need not be
# repeated for another word in a log.
_WATCHERS = frozenset(
    {
        *("orchestration/job.py", "orchestration/line_log.py", "orchestration/progress.py"),
        *("provenance/record.py", "provenance/energy.py"),
    }
)


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
    digest = hashlib.sha256()
    for name, content in sorted(_closure(script, modules).items()):
        digest.update(f"{name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def content_digest(*files: Path) -> str:
    """Digest of files that a script reads beside its arguments: templates, tables. 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _closure(script: Path, modules: tuple[str, ...] = ()) -> dict[str, bytes]:
    """All files a script depends on, as ``{name independent of where the project lies: content}``."""
    found = {f"script/{script.name}": script.read_bytes()}
    todo = _imports(script).union(*(_files(module) for module in modules))
    while todo:
        path = todo.pop()
        name = path.relative_to(_PACKAGE_ROOT).as_posix()
        if name not in found and name not in _WATCHERS:
            found[name] = path.read_bytes()
            todo |= _imports(path)
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


def _imports(path: Path) -> set[Path]:
    """Files of this package that one file imports."""
    return set().union(*(_files(module) for module in _imports_of(path.read_bytes())))


def _files(module: str) -> set[Path]:
    """Files that importing a module of this package runs: for a.b.c also a.b and a; none for other packages."""
    parts = module.split(".")
    if parts[0] != _PACKAGE:
        return set()
    bases = [_PACKAGE_ROOT.joinpath(*parts[1:length]) for length in range(2, len(parts) + 1)]
    return {path for base in bases for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()}
