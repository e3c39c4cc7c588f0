"""Every row of a finished run between two bounds: the mean mask of M_t, and a network of the target's own labels.

    python -m benchmarks.bounds results/demo --out docs/benchmarks

The first seed, Dice in percent. "above the mean mask" counts the targets where a row is better than it; "scaled" is
where the mean of a setup lies between both bounds, 0 for the mean mask and 100 for all labels of the target, as the
run's own analysis has it.
"""

import argparse
import csv
import statistics
from pathlib import Path

from benchmarks import tables
from benchmarks.cells import CONFIG, ROOT, cell, rows
from fedfactory.config.files import read_run
from fedfactory.config.run import load_config


def main() -> None:
    """Write and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks")
    arguments = parser.parse_args()
    config = load_config(read_run([CONFIG], ROOT), [CONFIG], ROOT)
    targets = {name: [(name, target) for target in setup.targets] for name, setup in config.setups.items()}
    found = {
        method: {
            key: cell(arguments.run.joinpath(*key, method), [0], agreement=False)
            for keys in targets.values()
            for key in keys
        }
        for method in config.methods
    }
    missing = [method for method, cells in found.items() if None in cells.values()]
    if missing:
        parser.error(f"{arguments.run} lacks cells of {', '.join(missing)}; run them first (see above)")
    with (arguments.run / "table1_analysis" / "scaled.csv").open(newline="") as file:
        scaled = {(row["setup"], row["method"]): float(row["scaled"]) for row in csv.DictReader(file)}
    lines = rows(found, ranked=False)
    for line in lines:
        cells, lower = found[line["row"]], found[config.scale[0]]
        better = [statistics.fmean(cells[key] or ()) > statistics.fmean(lower[key] or ()) for key in cells]
        line["above the mean mask"] = f"{sum(better)} of {len(better)}"
        for setup in targets:
            line[f"scaled {setup}"] = f"{scaled[setup, line['row']]:.0f}"
    tables.write(lines, arguments.out, "bounds")


if __name__ == "__main__":
    main()
