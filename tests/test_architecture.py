"""What may import what: no circles, few modules in the package's root, and rooms in one order."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"
PACKAGE = "fedfactory"

# From the ground up: a module imports from its own line and from lines above it. It stands where its longest prefix
# does, since some rooms have two floors: what all others use of orchestration and configuration lies below them, and
# the checker of a whole configuration above those whose parameters it checks.
ORDER = (
    ("errors",),
    (
        "orchestration.declared",
        "orchestration.labels",
        "orchestration.line_log",
        "orchestration.progress",
        "orchestration.portable",
        "orchestration.sources",
        "orchestration.code_digest",
    ),
    (
        "config.paths",
        "config.sentences",
        "config.skipped_imports",
        "config.parameters",
        "config.files",
        "storage.files",
    ),
    ("storage",),
    ("training", "orchestration.arguments", "orchestration.training_checkpoints"),
    ("data", "phantoms"),
    (
        "factory.parameters",
        "factory.encoders",
        "factory.encoder_networks",
        "federation.aggregation",
        "federation.parameters",
    ),
    ("config",),
    ("data.client_tasks", "data.releases", "data.survey"),
    ("federation",),
    ("factory",),
    ("provenance",),
    ("evaluation",),
    ("methods",),
    ("orchestration",),
    ("cli",),
)


@cache
def modules() -> dict[str, Path]:
    """Every module of the package -> its file."""
    found = {}
    for file in sorted((SOURCE / PACKAGE).rglob("*.py")):
        parts = file.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imported(tree: ast.AST) -> Iterator[str]:
    """Names that a syntax tree imports, inside functions too; not those for type checking only."""
    if isinstance(tree, ast.If) and "TYPE_CHECKING" in ast.unparse(tree.test):
        children = tree.orelse
    else:
        children = list(ast.iter_child_nodes(tree))
    if isinstance(tree, ast.Import):
        yield from (alias.name for alias in tree.names)
    elif isinstance(tree, ast.ImportFrom):
        assert not tree.level, "relative imports are not used"
        yield from (f"{tree.module}.{alias.name}" for alias in tree.names)
    for child in children:
        yield from imported(child)


def empty(module: str) -> bool:
    """Whether a module holds nothing but its docstring: a package that is only a folder."""
    return len(ast.parse(modules()[module].read_text()).body) <= 1


@cache
def graph() -> dict[str, set[str]]:
    """Module -> the modules of the package that importing it runs, but for the packages that it lies in."""
    found: dict[str, set[str]] = {}
    for name, file in modules().items():
        own = {name.rsplit(".", length)[0] for length in range(name.count(".") + 1)}
        wanted = set()
        for target in imported(ast.parse(file.read_text())):
            parts = target.split(".")
            wanted |= {".".join(parts[:length]) for length in range(1, len(parts) + 1)}
        found[name] = {target for target in wanted & modules().keys() - own if not empty(target)}
    return found


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Strongly connected components of more than one node: nodes that reach each other."""

    def reach(start: str) -> set[str]:
        seen, todo = set(), [start]
        while todo:
            for target in edges[todo.pop()] - seen:
                seen.add(target)
                todo.append(target)
        return seen

    reached = {name: reach(name) for name in edges}
    groups = {frozenset(b for b in reached[a] if a in reached[b]) for a in edges}
    return sorted(sorted(group) for group in groups if len(group) > 1)


def place(module: str) -> int:
    """Line of a module in :data:`ORDER`."""
    own = module.removeprefix(f"{PACKAGE}.")
    lines = {prefix: number for number, line in enumerate(ORDER) for prefix in line}
    fitting = [prefix for prefix in lines if own == prefix or own.startswith(f"{prefix}.")]
    assert fitting, f"{module} has no place in ORDER"
    return lines[max(fitting, key=len)]


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]
    tree = ast.parse("if TYPE_CHECKING:\n    import a\nelse:\n    import b\ndef f():\n    from c import d\n")
    assert list(imported(tree)) == ["b", "c.d"]


def test_no_module_imports_itself_in_a_circle():
    assert circles(graph()) == []


def test_the_root_holds_packages_and_little_else():
    assert len(list((SOURCE / PACKAGE).glob("*.py"))) <= 3


def test_rooms_import_downwards():
    wrong = [
        f"{module} imports {target}"
        for module, targets in graph().items()
        for target in targets
        if PACKAGE not in (module, target) and place(target) > place(module)
    ]
    assert not wrong, "\n".join(wrong)


def test_the_federation_knows_no_model_and_no_method():
    for module, targets in graph().items():
        if module.startswith(f"{PACKAGE}.federation."):
            known = {target for target in targets if target.split(".")[1:2] in (["factory"], ["methods"])}
            assert not known, f"{module} imports {', '.join(sorted(known))}"
