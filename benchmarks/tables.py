"""How the benchmarks write what they measured."""

import csv
from collections.abc import Sequence
from pathlib import Path


def write(rows: Sequence[dict[str, str | float]], folder: Path, name: str, below: str = "") -> None:
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
