"""Any cells of a finished run side by side, with the means of each setup, as a table for the docs.

    python -m benchmarks.cells results/demo --seeds 0 1 2 --methods nnunet nnunet_tl ours --name three_seeds
    python -m benchmarks.cells results/demo --setups mm mo --methods paired_one paired_zero --name few_labels
    python -m benchmarks.cells results/demo --methods ours ours_paired --agreement --name agreement

Dice in percent: mean over test subjects, then mean ± standard deviation over seeds where there are several. A cell
that was not run, or not for every seed, is a dash, and so is a mean that would need it. Two last columns count where a
row is the best of those given, and where it lies within a point of the best.
"""

import argparse
import csv
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import tables
from fedfactory.config.run import load_config, read_yaml
from fedfactory.evaluation.subjects import read_subjects, seed_mean

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "config" / "demo.yaml"
Values = Sequence[float] | None
"""One value for each seed; None where one is missing."""


def cell(folder: Path, seeds: Sequence[int], agreement: bool) -> Values:
    """A cell's values in percent, or, for ``agreement``, Dice between the masks of both branches."""
    files = [folder / f"seed{seed}" / ("agreement.csv" if agreement else "scores.csv") for seed in seeds]
    if not all(file.is_file() for file in files):
        return None
    return [agreed(file) if agreement else seed_mean(read_subjects(file), "dice") for file in files]


def agreed(file: Path) -> float:
    """Mean over test cases, in percent; where both masks are empty, nothing can be said."""
    with file.open(newline="") as stream:
        values = [float(row["dice"]) for row in csv.DictReader(stream)]
    return 100 * statistics.fmean(value for value in values if not math.isnan(value))


def averaged(cells: Sequence[Values]) -> Values:
    """Mean of several cells, seed by seed."""
    if not cells or any(values is None for values in cells):
        return None
    return [statistics.fmean(of_seed) for of_seed in zip(*cells, strict=True)]


def shown(values: Values) -> str:
    """Mean, and the deviation over seeds."""
    if values is None:
        return "–"
    mean = f"{statistics.fmean(values):.1f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.1f}"


def rows(found: Mapping[str, Mapping[tuple[str, str], Values]], ranked: bool) -> list[dict[str, str]]:
    """Lines of the table.

    Args:
        found: method -> (setup, target) -> values.
        ranked: whether the best of each column are counted.
    """
    columns = list(next(iter(found.values())))
    means = {
        method: {key: -math.inf if values is None else statistics.fmean(values) for key, values in cells.items()}
        for method, cells in found.items()
    }
    top = {key: max(of_method[key] for of_method in means.values()) for key in columns}
    lines = []
    for method, cells in found.items():
        line = {"row": method}
        for setup in dict.fromkeys(setup for setup, _ in columns):
            own = {target: cells[setup, target] for of, target in columns if of == setup}
            line |= {f"{setup}/{target}": shown(values) for target, values in own.items()}
            line[f"mean {setup}"] = shown(averaged(list(own.values())))
        if ranked:
            gaps = [top[key] - means[method][key] for key in columns if cells[key] is not None]
            line |= {"best": str(gaps.count(0)), "within a point": str(sum(gap <= 1 for gap in gaps))}
        lines.append(line)
    return lines


def main() -> None:
    """Write and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--methods", nargs="+", required=True)
    parser.add_argument("--configfile", type=Path, default=CONFIG, help="of the run; config/demo.yaml if left out")
    parser.add_argument("--setups", nargs="+", help="all of the run's if left out")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--agreement", action="store_true", help="Dice between both branches' masks instead")
    parser.add_argument("--unranked", action="store_true", help="without the columns that count where a row is best")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks")
    parser.add_argument("--name", required=True, help="of the files in --out")
    arguments = parser.parse_args()
    file = arguments.configfile.resolve()
    setups = load_config(read_yaml(file, file.name), [file], ROOT).setups
    unknown = set(arguments.setups or ()) - set(setups)
    if unknown:
        parser.error(f"{file.name} has no setup {', '.join(sorted(unknown))}")
    columns = [(name, target) for name in arguments.setups or setups for target in setups[name].targets]
    found = {
        method: {
            key: cell(arguments.run.joinpath(*key, method), arguments.seeds, arguments.agreement) for key in columns
        }
        for method in arguments.methods
    }
    empty = [method for method, cells in found.items() if not any(cells.values())]
    if empty:
        parser.error(f"{arguments.run} holds no cell of {', '.join(empty)} with all of these seeds; run them first")
    ranked = not (arguments.agreement or arguments.unranked) and len(found) > 1
    tables.write(rows(found, ranked), arguments.out, arguments.name)


if __name__ == "__main__":
    main()
