"""How the benchmarks write what they measured."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

Row = Mapping[str, str | float]


def write(rows: Sequence[Row], folder: Path, name: str, below: str = "") -> None:
    """Write rows as CSV and Markdown into a folder and print the table.

    Args:
        rows: with the same keys.
        folder: made where missing.
        name: of the files, without ending.
        below: text that follows the Markdown table.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    lines = [list(rows[0]), ["---"] * len(rows[0])]
    lines += [[f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
    (folder / f"{name}.md").write_text(f"{text}\n{below}" if below else text)
    print(text)


def write_beside_other_processors(rows: Sequence[Row], folder: Path, name: str) -> None:
    """As `write`, after the rows that a table of the same name holds of other processors than this one."""
    # `benchmarks.flower` runs in an environment without the package.
    from fedfactory.provenance.record import machine

    here, file = machine()["processor"], folder / f"{name}.csv"
    others: list[Row] = []
    if file.exists():
        with file.open(newline="") as stream:
            others = [
                {column: _value(text) for column, text in row.items()}
                for row in csv.DictReader(stream)
                if row["processor"] != here
            ]
    write([*others, *({"processor": here, **row} for row in rows)], folder, name)


def _value(text: str) -> str | float:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
