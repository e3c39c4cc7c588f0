"""Figures of all factories of a run: `python -m benchmarks.factory_quality results/demo --out docs/benchmarks`.

Collects what the workflow measured (`quality.csv` of each factory) and the CPU seconds of each training. For three
seeds run `snakemake --cores 2 --configfile config/demo.yaml config/three_seeds.yaml` before.
"""

import argparse
import csv
from pathlib import Path

from fedfactory.provenance.record import NAME, read_record
from fedfactory.storage.tables import to_markdown


def collect(run: Path) -> list[dict[str, str]]:
    """One row for each setup, seed and client."""
    found = []
    for file in sorted(run.glob("*/factory/seed*/quality.csv")):
        setup, seed = file.parts[-4], file.parent.name.removeprefix("seed")
        seconds = read_record(file.parent / "model" / NAME)["cpu_seconds"]
        with file.open(newline="") as stream:
            for row in csv.DictReader(stream):
                found.append({"setup": setup, "seed": seed, "CPU s": f"{seconds:.0f}", **row})
    return found


def main() -> None:
    """Write and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    rows = collect(arguments.run)
    if not rows:
        parser.error(f"{arguments.run} holds no factory; run the demo first")
    arguments.out.mkdir(parents=True, exist_ok=True)
    text = to_markdown(rows)
    (arguments.out / "factory_quality.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
