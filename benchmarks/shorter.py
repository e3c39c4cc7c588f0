"""What the demo's trainings were cut by, and what it did.

    python -m benchmarks.shorter --before cb4e28b

lengths: every length of a training (steps, rounds, epochs) and every width of a network (sum of its channels) in
config/demo.yaml at the commit before, and now.
shorter: mean Dice of every row in every setup over three training seeds, by docs/benchmarks/three_seeds.csv (written by
benchmarks.cells) at the commit before, and now. The standard error of a difference is that of two independent means of
three seeds.
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
DEMO, SEEDS = "config/demo.yaml", "docs/benchmarks/three_seeds.csv"
LENGTHS = ("steps", "rounds", "epochs", "trial")
WIDTHS = ("features_per_stage", "features", "channels", "width")
_SEEDS = 3


def lengths(node: Any, path: str = "") -> Iterator[tuple[str, int]]:
    """Every length and width of a configuration, with its place."""
    pairs = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        if key in WIDTHS and not isinstance(value, int):
            yield f"{path}{key}", sum(value.values() if isinstance(value, Mapping) else value)
        elif key in (*LENGTHS, *WIDTHS) and isinstance(value, int):
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


def read(text: str) -> dict[tuple[str, str], tuple[float, float]]:
    """(row, setup) -> mean and deviation over seeds."""
    return {
        (line["row"], name.removeprefix("mean ")): (float(value.split(" ± ")[0]), float(value.split(" ± ")[1]))
        for line in csv.DictReader(text.splitlines())
        for name, value in line.items()
        if name.startswith("mean ")
    }


def compared(before: str, now: str) -> list[dict[str, Any]]:
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
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks")
    arguments = parser.parse_args()

    def both(file: str) -> tuple[str, str]:
        command = ["git", "show", f"{arguments.before}:{file}"]
        before = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        return before, (ROOT / file).read_text()

    before, now = (dict(lengths(yaml.safe_load(text))) for text in both(DEMO))
    tables.write(cut(before, now), arguments.out, "lengths")
    tables.write(compared(*both(SEEDS)), arguments.out, "shorter")


if __name__ == "__main__":
    main()
