"""The ledger: all that crossed a client's border, round by round.

::

    ledger.csv     round, client, direction, field, arrays, bytes, sha256: one row for each field of each message
    forms.json     name, shape and type of every array of each field

Both ends of a border can keep one. The digest is of the raw bytes on the wire
(:func:`fedfactory.federation.message.pack`).
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fedfactory.federation.message import CLIENT, FAILURE, Allowlist, arrays_of, failure_of, pack
from fedfactory.storage.files import new_file

LEDGER, FORMS = "ledger.csv", "forms.json"
COLUMNS = ("round", "client", "direction", "field", "arrays", "bytes", "sha256")
OUT, IN = "out of the site", "into the site"
# The round of what a client sends before the first one.
ANNOUNCEMENT = -1


class Ledger:
    """Append to the ledger of one client, or of the server.

    Attributes:
        file: ``ledger.csv``.
    """

    def __init__(self, folder: Path, allowlist: Allowlist, *, until_round: int = ANNOUNCEMENT) -> None:
        """Open the ledger in a folder.

        Args:
            folder: where its files lie; made where missing.
            allowlist: what may be recorded.
            until_round: rows of this round and later ones are dropped; a resumed training writes them again.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.file = folder / LEDGER
        self._allowlist = allowlist
        kept = [row for row in read_ledger(self.file) if int(row["round"]) < until_round] if self.file.exists() else []
        with new_file(self.file) as file, file.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(kept)
        with new_file(folder / FORMS) as file:
            file.write_text(json.dumps(_forms(allowlist), indent=1) + "\n")

    def record(
        self,
        round_number: int,
        client: str,
        direction: str,
        message: Mapping[str, Any],
        wire: Mapping[str, bytes] | None = None,
    ) -> None:
        """Check a message and write it down; an inadmissible one is written nowhere and must not be sent.

        Args:
            round_number: counted from 0; :data:`ANNOUNCEMENT` before the first round.
            client: the client whose border is crossed.
            direction: :data:`OUT` or :data:`IN`.
            message: field -> arrays by name, or its only array; ``client`` is a name.
            wire: fields as they cross, where they are packed already.

        Raises:
            FedFactoryError: something that the allowlist does not hold.
        """
        self._allowlist.check(message)
        _append(self.file, round_number, client, direction, message, wire or {})


def record_failure(folder: Path, client: str, error: BaseException, round_number: int | None = None) -> str:
    """Write down what leaves a client that fails, whether or not it got as far as to open its ledger.

    A training that goes on drops the row with the round that it writes again, as it drops the others of that round.

    Args:
        folder: the client's records.
        client: its name.
        error: what went wrong.
        round_number: of the round that failed; None before one has begun.

    Returns:
        The sentence that may cross.
    """
    sentence = failure_of(error)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / LEDGER
    rows = read_ledger(file) if file.exists() else []
    if not file.exists():
        file.write_text(",".join(COLUMNS) + "\n")
    if round_number is None:
        round_number = max((int(row["round"]) for row in rows), default=ANNOUNCEMENT) + 1
    _append(file, round_number, client, OUT, {FAILURE: sentence}, {})
    return sentence


def _append(
    file: Path,
    round_number: int,
    client: str,
    direction: str,
    message: Mapping[str, Any],
    wire: Mapping[str, bytes],
) -> None:
    with file.open("a", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        for field in sorted(message):
            data, arrays = _content(field, message[field], wire.get(field))
            digest = hashlib.sha256(data).hexdigest()
            writer.writerow((round_number, client, direction, field, arrays, len(data), digest))


def read_ledger(file: Path) -> list[dict[str, str]]:
    """Rows of a ledger; a last line that a kill cut off is left out."""
    with file.open(newline="") as stream:
        return [row for row in csv.DictReader(stream) if len(row["sha256"] or "") == 64]


def totals(rows: Iterable[Mapping[str, str]]) -> list[dict[str, str | int]]:
    """All that crossed: messages and bytes for each client, direction and field."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in rows:
        key = {name: row[name] for name in ("client", "direction", "field")}
        entry = found.setdefault(tuple(key.values()), {**key, "messages": 0, "bytes": 0})
        entry["messages"] += 1
        entry["bytes"] += int(row["bytes"])
    return list(found.values())


def _content(field: str, value: Any, wire: bytes | None) -> tuple[bytes, int]:
    if field in (CLIENT, FAILURE):
        return str(value).encode(), 0
    arrays = arrays_of(field, value)
    return pack(arrays) if wire is None else wire, len(arrays)


def _forms(allowlist: Allowlist) -> dict[str, Any]:
    return {
        CLIENT: list(allowlist.clients),
        **{
            field: [{"name": form.name, "shape": list(form.shape), "dtype": form.dtype} for form in forms]
            for field, forms in allowlist.fields.items()
        },
    }
