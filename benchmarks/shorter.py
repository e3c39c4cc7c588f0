"""What the demo's trainings were cut by, and what it did.

    python -m benchmarks.shorter --before cb4e28b
    python -m benchmarks.shorter --before cb4e28b --seeds three_seeds_before.csv three_seeds.csv

lengths: every length of a training (steps, rounds, epochs) in config/demo.yaml at the commit before, and now.
shorter: mean Dice of every row in every setup over three training seeds, before and now, of two tables that
benchmarks.cells wrote. The standard error of a difference is that of two independent means of three seeds.
"""

import argparse
import csv
import math
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from benchmarks import tables

ROOT = Path(__file__).resolve().parent.parent
DEMO = "config/demo.yaml"
LENGTHS = ("steps", "rounds", "epochs", "trial")
_SEEDS = 3


def lengths(node: Any, path: str = "") -> Iterator[tuple[str, int]]:
    """Every length of a configuration, with its place."""
    pairs = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        if key in LENGTHS and isinstance(value, int):
            yield f"{path}{key}", value
        elif key != "parameters":
            yield from lengths(value, f"{path}{key}.")
        else:
            yield from lengths(value, path)


def cut(before: Mapping[str, int], now: Mapping[str, int]) -> list[dict[str, Any]]:
    """A row for each length that is there in both; one of a setup stands beside what held for it before."""

    def of(table: Mapping[str, int], key: str) -> int | None:
        head, _, rest = key.partition(".setups.")
        # A setup without a length of its own has that of all.
        return table.get(key, table.get(f"{head}.{rest.partition('.')[2]}") if rest else None)

    rows = []
    for key in sorted(before.keys() | now.keys()):
        old, new = of(before, key), of(now, key)
        if old is not None and new is not None:
            rows.append({"length": key, "before": old, "now": new, "share": round(new / old, 2)})
    return rows


def read(file: Path) -> dict[tuple[str, str], tuple[float, float]]:
    """(row, setup) -> mean and deviation over seeds."""
    with file.open(newline="") as stream:
        return {
            (line["row"], name.removeprefix("mean ")): (float(value.split(" ± ")[0]), float(value.split(" ± ")[1]))
            for line in csv.DictReader(stream)
            for name, value in line.items()
            if name.startswith("mean ")
        }


def compared(before: Path, now: Path) -> list[dict[str, Any]]:
    """A line for each row of the table, with a difference and its standard error for each setup."""
    old, new = read(before), read(now)
    lines: dict[str, dict[str, Any]] = {}
    for row, setup in new:
        (was, was_std), (is_now, std) = old[row, setup], new[row, setup]
        error = math.sqrt((was_std**2 + std**2) / _SEEDS)
        lines.setdefault(row, {"row": row}).update({f"{setup} before": was, f"{setup} now": is_now})
        lines[row][f"{setup} difference"] = f"{is_now - was:+.1f} ± {error:.1f}"
    return list(lines.values())


def main() -> None:
    """Write and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", required=True, help="commit of the trainings before")
    parser.add_argument("--seeds", nargs=2, type=Path, metavar=("BEFORE", "NOW"), help="CSV of benchmarks.cells")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks")
    arguments = parser.parse_args()
    text = subprocess.run(
        ["git", "show", f"{arguments.before}:{DEMO}"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    before, now = (dict(lengths(yaml.safe_load(each))) for each in (text, (ROOT / DEMO).read_text()))
    tables.write(cut(before, now), arguments.out, "lengths")
    if arguments.seeds:
        tables.write(compared(*arguments.seeds), arguments.out, "shorter")


if __name__ == "__main__":
    main()
