"""Rows with the same keys as CSV and as Markdown."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def write_rows(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with the same keys as CSV; six significant digits of a float, nothing for nan. No row: no line."""
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0] if rows else (), lineterminator="\n")
        if rows:
            writer.writeheader()
        writer.writerows({name: _text(value) for name, value in row.items()} for row in rows)


def read_rows(file: Path) -> list[dict[str, str]]:
    """The rows of a CSV file with a line of names."""
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def _text(value: Any) -> Any:
    return value if not isinstance(value, float) else "" if math.isnan(value) else f"{value:.6g}"


def to_markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows with the same keys as a Markdown table; columns of numbers are right-aligned, a ``|`` ends no cell."""
    marks = ["--:" if all(_is_number(row[name]) for row in rows) else "---" for name in rows[0]]
    lines = [list(rows[0]), marks, *(list(row.values()) for row in rows)]
    escaped = ([text.replace("|", r"\|") for text in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped) + "\n"


def _is_number(text: str) -> bool:
    return not text or text[0].isdigit() or (text[0] in "+-<" and text[1:2].isdigit())
