"""What pydantic finds wrong, told in one sentence about one key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from fedfactory.errors import FedFactoryError

# What a spreadsheet would run, and what no line holds, is no label.
LABEL = r"^([^\x00-\x1f\x7f=@+\-][^\x00-\x1f\x7f]*|[+\-][^\x00-\x1f\x7f|!=(]*)$"
NAME, WORD, DIGEST = "^[a-z][a-z0-9_]{0,59}$", "^[A-Za-z][A-Za-z0-9_]{0,59}$", "^[0-9a-f]{64}$"
"""Patterns of a name in paths, of the name of a class, and of a SHA-256."""
_PATTERNS = {
    NAME: "is no valid name (lower-case letters, digits and _, starting with a letter, at most 60)",
    WORD: "is no valid name (letters, digits and _, starting with a letter, at most 60)",
    LABEL: "is no label: it is empty, has a line break, or begins as a spreadsheet's formula does",
    DIGEST: "is not 64 lower-case hexadecimal digits",
}
# Pydantic's own words are of fields and instances; these are of keys. Each goes on "must be".
_MUST = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("tuple_type", "list_type"), "a list"),
    **dict.fromkeys(("dict_type", "dataclass_type"), "a mapping of keys to values"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    "string_type": "a text",
    "string_too_short": "a text that is not empty",
    "literal_error": "{expected}",
    "finite_number": "a finite number",
    "greater_than": "above {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "below {lt:g}",
    "less_than_equal": "at most {le:g}",
    "too_short": "at least {min_length} long",
    "too_long": "at most {max_length} long",
}
_UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")
_LONGEST = 80
"""Characters of a wrong value that a sentence repeats."""
_Place = tuple[str, ...]


class Misfit(FedFactoryError, ValueError):
    """A value that does not fit the others of its mapping; for the checks of a dataclass after its fields'.

    Attributes:
        key: the key to change, below the mapping that is checked; empty for the mapping as a whole.
        sentence: what is wrong with it.
    """

    def __init__(self, key: str, sentence: str) -> None:
        """Name the key and what is wrong."""
        super().__init__(f"key '{key}': {sentence}" if key else sentence)
        self.key = key
        self.sentence = sentence


def sentence(error: ValidationError, adapter: TypeAdapter[Any], values: Any, key: str) -> str:
    """The one sentence that helps: about the deepest key that is wrong, an unknown one first, for it may be misspelt.

    Args:
        error: of the validation.
        adapter: what the values were checked against.
        values: the values.
        key: where they stand; empty for a file of its own.
    """
    found: dict[_Place, list[Mapping[str, Any]]] = {}
    for item in error.errors(include_url=False):
        found.setdefault(_place(item, values), []).append(item)
    place = max(found, key=lambda place: (len(place), found[place][0]["type"] in _UNKNOWN))
    said = _said(found[place], adapter, values, place)
    whole = ".".join(part for part in (key, *place) if part)
    return f"key '{whole}': {said}" if whole else said


def _place(item: Mapping[str, Any], values: Any) -> _Place:
    """The keys that lead to a value; pydantic also names the alternatives that it tried on the way."""
    place: list[str] = []
    *_, last = item["loc"] or (None,)
    for part in item["loc"]:
        if part == "[key]":
            place.pop()
        elif str(part) in (known := _entries(values)):
            place.append(str(part))
            values = known[str(part)]
        elif part is last and item["type"] == "missing" and isinstance(values, Mapping):
            place.append(str(part))
    if item["type"].startswith("union_tag"):
        place.append(item["ctx"]["discriminator"].strip("'"))
    if isinstance(misfit := item.get("ctx", {}).get("error"), Misfit):
        place += misfit.key.split(".")
    return tuple(place)


def _entries(values: Any) -> dict[str, Any]:
    """What a mapping or a list holds, by key or number; nothing for another value."""
    if isinstance(values, (list, tuple)):
        return {str(number): value for number, value in enumerate(values)}
    return {str(name): value for name, value in values.items()} if isinstance(values, Mapping) else {}


def _said(items: list[Mapping[str, Any]], adapter: TypeAdapter[Any], values: Any, place: _Place) -> str:
    item = items[0]
    kind, given, context = item["type"], _shortened(item["input"]), item.get("ctx", {})
    if kind in _MUST:
        # Alternatives, such as a number or a list of numbers, are wrong together.
        must = dict.fromkeys(_MUST[x["type"]].format(**x.get("ctx", {})) for x in items if x["type"] in _MUST)
        which = f"its key {given} " if item["loc"][-1:] == ("[key]",) else ""
        return f"{which}must be {' or '.join(must)}" + ("" if which else f", not {given}")
    if kind == "missing" and isinstance(item["input"], Mapping) or kind == "union_tag_not_found":
        return "is missing"
    if kind == "missing":
        return f"has too few entries: {given}"
    if kind in _UNKNOWN:
        return f"is unknown; known are {', '.join(_known(adapter, values, place[:-1])) or 'none'}"
    if kind == "union_tag_invalid":
        return f"{context['tag']!r} is unknown; known are {context['expected_tags'].replace(chr(39), '')}"
    if kind == "string_pattern_mismatch":
        return f"{given} {_PATTERNS.get(context['pattern'], item['msg'])}"
    if kind == "value_error":
        return getattr(context["error"], "sentence", str(context["error"]))
    return f"{item['msg']}, not {given}"


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _known(adapter: TypeAdapter[Any], values: Any, place: _Place) -> list[str]:
    """Keys of the mapping at a place."""
    schema = adapter.json_schema()
    nodes = list(_alternatives(schema, schema, values))
    for part in place:
        values = _entries(values)[part]
        below = [child for node in nodes for child in _children(node, part)]
        nodes = [node for child in below for node in _alternatives(schema, child, values)]
    return sorted({name for node in nodes for name in node.get("properties", {})})


def _children(node: Mapping[str, Any], part: str) -> Iterator[Mapping[str, Any]]:
    if part in node.get("properties", {}):
        yield node["properties"][part]
    yield from node.get("patternProperties", {}).values()
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), Mapping):
            yield node[key]


def _alternatives(schema: Mapping[str, Any], node: Mapping[str, Any], values: Any) -> Iterator[Mapping[str, Any]]:
    """A node of a JSON schema, or what it refers to."""
    chosen = node.get("discriminator")
    if "$ref" in node:
        yield from _alternatives(schema, schema["$defs"][node["$ref"].rpartition("/")[2]], values)
    elif chosen:
        yield from _alternatives(schema, {"$ref": chosen["mapping"][values[chosen["propertyName"]]]}, values)
    elif "anyOf" in node:
        for branch in node["anyOf"]:
            yield from _alternatives(schema, branch, values)
    else:
        yield node
