"""Tables as spreadsheets write them."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedfactory.data.formats import readable
from fedfactory.errors import FedFactoryError

_SEPARATORS = ",;\t"
_BYTE_ORDER = ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Attributes:
        place: table and line, for messages.
        values: by column, without blanks around them.
    """

    place: str
    values: dict[str, str]


def read_table(file: Path, needed: Sequence[str], known: Sequence[str] | None = None) -> list[Row]:
    """Rows of a CSV file in UTF-8 or UTF-16, whose values are divided by commas, semicolons or tabs.

    Args:
        file: the table.
        needed: columns that must be there; their case does not matter.
        known: all columns that may be there; any others as well if None.

    Returns:
        At least one row; lines without any value are passed over.

    Raises:
        FedFactoryError: no such file or no such table: file, line, what is wrong and what to do.
    """
    raw, encoding = _content(file)
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise FedFactoryError(
            f"{file}, line {line}: cannot be read as a table ({error.reason}); save it as CSV in UTF-8"
        ) from None
    _, separator = _head(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    columns: list[str] = []
    rows = []
    try:
        for values in reader:
            values = [value.strip() for value in values]
            if not any(values):
                continue
            if not columns:
                columns = _columns(values, file, needed, known)
                continue
            place = f"{file}, line {reader.line_num}"
            # A spreadsheet may leave the last columns of a row away, or add empty ones.
            if (
                any(values[len(columns) :])
                or len(values) < len(columns)
                and not _may_lack(columns[len(values) :], needed)
            ):
                raise FedFactoryError(
                    f"{place}: has {len(values)} values, and there are {len(columns)} columns; put a value that holds "
                    f"'{separator}' into quotation marks, and fill what lacks"
                )
            filled = [*values, *[""] * (len(columns) - len(values))][: len(columns)]
            rows.append(Row(place, dict(zip(columns, filled, strict=True))))
    except csv.Error as error:
        raise FedFactoryError(f"{file}, line {reader.line_num}: cannot be read as a table ({error})") from None
    if not rows:
        raise FedFactoryError(f"{file}: needs the columns {', '.join(needed)} and at least one row")
    return rows


def column_names(file: Path) -> set[str]:
    """Names of the columns of what may be a table, in lower case."""
    raw, encoding = _content(file)
    head, separator = _head(raw.decode(encoding, "replace"))
    return {name.strip(' "').lower() for name in head.split(separator)}


def _content(file: Path) -> tuple[bytes, str]:
    """Bytes of a file, and the encoding that they begin with."""
    with readable(file):
        raw = file.read_bytes()
    return raw, next((name for mark, name in _BYTE_ORDER if raw.startswith(mark)), "utf-8-sig")


def _head(text: str) -> tuple[str, str]:
    """The line of the columns' names, and what divides them."""
    head = next((line for line in text.splitlines() if line.strip()), "")
    return head, max(_SEPARATORS, key=head.count)


def _may_lack(columns: Sequence[str], needed: Sequence[str]) -> bool:
    return not set(columns) & set(needed)


def _columns(values: Sequence[str], file: Path, needed: Sequence[str], known: Sequence[str] | None) -> list[str]:
    """Names of the columns, those that are known as they are known."""
    written = {name.lower(): name for name in (*needed, *(known or ()))}
    columns = [written.get(value.lower(), value) for value in values]
    unknown = [name for name in columns if known is not None and name and name not in known]
    if unknown:
        raise FedFactoryError(f"{file}: unknown column '{unknown[0]}'; known are {', '.join(known or ())}")
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    if twice:
        raise FedFactoryError(f"{file}: the column '{twice[0]}' occurs twice; rename one of them")
    missing = [name for name in needed if name not in columns]
    if missing:
        raise FedFactoryError(f"{file}: has no column '{missing[0]}'; needed are {', '.join(needed)}")
    return columns
