"""The table of a client's losses, one row for each round that it took part in.

Between hospitals (Fed-BioMed) it stays at the client. The simulated engine, which runs all clients on one machine, puts
it beside the model that it trains.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedfactory.storage.files import new_file

LOSSES = "losses.csv"


def keep_rows(file: Path, columns: Sequence[str], until_round: int) -> None:
    """Start a table, or cut off the rounds that a resumed training writes again.

    Args:
        file: the table.
        columns: after ``round``; none is ever empty, but in a last line that a kill cut off.
        until_round: rows of this round and later ones are dropped.
    """
    rows = []
    if file.exists():
        with file.open(newline="") as stream:
            rows = [row for row in csv.DictReader(stream) if row[columns[-1]] and int(row["round"]) < until_round]
    with new_file(file) as new, new.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, ("round", *columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def append_row(file: Path, columns: Sequence[str], row: Mapping[str, Any]) -> None:
    """Add the losses of one round; a column that a round has no value for is left empty."""
    with file.open("a", newline="") as stream:
        csv.DictWriter(stream, ("round", *columns), lineterminator="\n").writerow(row)
