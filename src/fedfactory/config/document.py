"""``config/schema.yaml`` and the tables of ``config/README.md``, written from the models and their docstrings.

``python -m fedfactory.config.document`` in the project's folder writes both; a test compares.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from fedfactory.config.models import RunFile, SetupFile
from fedfactory.errors import FedFactoryError
from fedfactory.factory.parameters import FactorySection
from fedfactory.orchestration.declared import load, methods

SCHEMA, TABLES = Path("config/schema.yaml"), Path("config/README.md")
_HEAD = """\
# What is allowed, as JSON Schema: `run` is a file like config/demo.yaml over its base, `setup` one like
# config/setups/ms.yaml, `factory` a section of a run, and the others are the methods' parameters, by their folder.
# Made by `python -m fedfactory.config.document` from the models that check the files; do not edit.
"""
# PyYAML breaks a line after this column.
_WIDTH = 100
_WORDS = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text", "null": "null"}
_RANGES = {"minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}"}


def models() -> dict[str, type]:
    """Models with a table of their own: the files', the factory's, and those of the methods' parameters."""
    own = {name: load(method.parameters) for name, method in methods().items() if method.parameters}
    return {"run": RunFile, "setup": SetupFile, "factory": FactorySection, **own}


def explained(kind: type) -> dict[str, str]:
    """What a dataclass's docstring, and those of its bases, say of each field.

    Raises:
        FedFactoryError: nothing is said of a field.
    """
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        _, _, section = inspect.cleandoc(base.__dict__.get("__doc__") or "").partition("\nAttributes:\n")
        for name, text in re.findall(r"^    (\w+): (.*(?:\n     +.*)*)", section, re.M):
            found[name] = " ".join(_plain(text).split())
    for field in fields(kind):
        if field.name not in found:
            raise FedFactoryError(f"{kind.__qualname__}: its docstring does not explain '{field.name}'")
    return {field.name: found[field.name] for field in fields(kind)}


def schema() -> str:
    """The text of ``config/schema.yaml``."""
    found = models()
    inputs: list[Any] = [(name, "validation", TypeAdapter(kind)) for name, kind in found.items()]
    nodes, definitions = TypeAdapter.json_schemas(inputs, schema_generator=_Explained)
    whole = {
        "$schema": GenerateJsonSchema.schema_dialect,
        "properties": {name: nodes[name, "validation"] for name in found},
        **definitions,
    }
    return _HEAD + yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=_WIDTH)


def table(kind: type) -> str:
    """A table of all keys of a model, nested ones too."""
    whole = TypeAdapter(kind).json_schema(schema_generator=_Explained)
    elsewhere = {f"#/$defs/{other.__name__}": "mapping: see below" for other in models().values()}
    rows = ["| key | value (default) | meaning |", "|---|---|---|"]
    rows += [f"| `{key}` | {value} | {meaning} |" for key, value, meaning in _rows(whole, whole, "", elsewhere)]
    return "\n".join(rows)


def tables(text: str) -> str:
    """A page with the tables between its marks ``<!-- table: NAME -->`` and ``<!-- end -->`` written anew.

    Raises:
        FedFactoryError: a model without a mark, or a mark without a model.
    """
    found = models()
    marks = re.findall(r"<!-- table: (\w+) -->", text)
    if sorted(marks) != sorted(found):
        wrong = ", ".join(sorted(set(marks) ^ set(found))) or "one twice"
        raise FedFactoryError(f"{TABLES}: every model has one mark '<!-- table: NAME -->'; wrong is {wrong}")
    for name in marks:
        mark = f"<!-- table: {name} -->"
        before, _, rest = text.partition(mark)
        _, end, after = rest.partition("<!-- end -->")
        text = f"{before}{mark}\n{table(found[name])}\n{end}{after}"
    return text


def main() -> int:
    """Write both files."""
    SCHEMA.write_text(schema(), encoding="utf-8")
    TABLES.write_text(tables(TABLES.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


class _Explained(GenerateJsonSchema):
    """A schema with the docstrings' words for every key, and without pydantic's titles."""

    def dataclass_schema(self, schema: core_schema.DataclassSchema) -> JsonSchemaValue:
        found = super().dataclass_schema(schema)
        found.pop("title", None)
        found["description"] = _plain(inspect.cleandoc(schema["cls"].__doc__ or "").partition("\n\n")[0])
        for name, text in explained(schema["cls"]).items():
            found["properties"][name].pop("title", None)
            found["properties"][name]["description"] = text
        return found


def _plain(text: str) -> str:
    """Words of a docstring without the marks of Sphinx."""
    text = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"`\1`", text)
    return text.replace("``", "`")


def _rows(
    whole: Mapping[str, Any], node: Mapping[str, Any], prefix: str, seen: dict[str, str]
) -> Iterator[tuple[str, str, str]]:
    """Key, value and meaning of all keys below a node; what was listed before is referred to."""
    for name, entry in node["properties"].items():
        key, meaning = f"{prefix}{name}", entry["description"].replace("|", "\\|")
        default = "" if name in node.get("required", ()) else f" ({_yaml(entry.get('default', {}))})"
        below = list(_mappings(whole, entry))
        if not below:
            yield key, _value(whole, entry) + default, meaning
            continue
        known = [seen[child] for child in (reference for reference, _, _ in below) if child in seen]
        yield key, (known[0] if known else "mapping") + default, meaning
        for reference, child, step in below:
            if reference not in seen:
                seen[reference] = f"as `{key}`"
                yield from _rows(whole, child, f"{key}.{step}", seen)


def _mappings(whole: Mapping[str, Any], node: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """Mappings with keys of their own that a node may hold: reference, schema, and the step that leads there."""
    if reference := node.get("$ref"):
        yield reference, whole["$defs"][reference.rpartition("/")[2]], ""
    for branch in (*node.get("oneOf", ()), *node.get("anyOf", ())):
        yield from _mappings(whole, branch)
    if "items" in node:
        yield from ((reference, child, "*.") for reference, child, _ in _mappings(whole, node["items"]))
    for below in (*node.get("patternProperties", {}).values(), node.get("additionalProperties")):
        if isinstance(below, Mapping):
            yield from ((reference, child, "<name>.") for reference, child, _ in _mappings(whole, below))


def _value(whole: Mapping[str, Any], node: Mapping[str, Any]) -> str:
    """What a key may be, in a few words."""
    if "enum" in node or "const" in node:
        return ", ".join(f"`{name}`" for name in node.get("enum", [node.get("const")]))
    if branches := node.get("anyOf"):
        return " or ".join(dict.fromkeys(_value(whole, branch) for branch in branches))
    if node.get("type") == "array":
        items = node.get("items") or node["prefixItems"][0]
        many = node["maxItems"] if "prefixItems" in node else ""
        return f"list of {many}{' × ' if many else ''}{_value(whole, items)}"
    if node.get("type") == "object":
        below = [*node.get("patternProperties", {}).values(), node.get("additionalProperties")]
        inside = [_value(whole, child) for child in below if isinstance(child, Mapping)]
        return f"mapping to {inside[0]}" if inside else "mapping"
    limits = ", ".join(text.format(f"{node[name]:g}") for name, text in _RANGES.items() if name in node)
    return f"{_WORDS[node['type']]} {limits}".rstrip()


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n").removesuffix("\n...")


if __name__ == "__main__":
    sys.exit(main())
