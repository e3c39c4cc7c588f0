"""What a cell of each row of a finished run cost, and what it exchanged: `python -m benchmarks.row_cost results/demo`.

Means over the targets, of the first seed, from each cell's `cell.json`. Bytes are those of all jobs behind a cell: a
factory that all targets of a setup share counts in each of them.
"""

import argparse
from pathlib import Path
from statistics import mean

from benchmarks.tables import write
from fedfactory.config.files import read_run
from fedfactory.config.run import load_config
from fedfactory.evaluation import inputs
from fedfactory.provenance.story import read_story

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--configfile", type=Path, nargs="+", default=[Path("config/demo.yaml")])
    parser.add_argument("--out", type=Path, default=ROOT / "docs/benchmarks")
    arguments = parser.parse_args()
    config = load_config(read_run(arguments.configfile, ROOT), arguments.configfile, ROOT)
    costs: dict[str, list[dict[str, dict[str, float]]]] = {}
    for name in inputs.shown_files(config, "cell.json"):
        file = arguments.run / Path(name).relative_to(config.layout.root)
        costs.setdefault(file.parents[1].name, []).append(read_story(file)["cost"])
    rows = [
        {
            "row": row,
            "own CPU s": round(mean(cost["own"]["cpu_seconds"] for cost in each), 1),
            "with shared CPU s": round(mean(cost["with_shared"]["cpu_seconds"] for cost in each), 1),
            "exchanged MB": round(mean(cost["with_shared"]["bytes_exchanged"] for cost in each) / 1e6),
        }
        for row, each in costs.items()
    ]
    write(rows, arguments.out, "row_cost", "")


if __name__ == "__main__":
    main()
