"""Table 1: from the scores of all cells to a long CSV, and to the paper's arrangement."""

import csv
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedfactory.evaluation.subjects import LABELS, Subject, over_seeds, seed_mean


@dataclass(frozen=True)
class Column:
    """A target client: one column of the table.

    Attributes:
        setup: name of the setup.
        target: name of the client.
        setup_label: heading of the setup, for instance ``MS``.
        label: heading of the column.
        federated: whether the client took part in federated training (``config/setups``); if not,
            :func:`fedfactory.evaluation.render.arrange` gives it the paper's asterisk.
    """

    setup: str
    target: str
    setup_label: str
    label: str
    federated: bool


@dataclass(frozen=True)
class Row:
    """A method: one row of the table.

    Attributes:
        method: name of the method.
        label: what the table prints.
        centralised: whether it takes data or labels of several clients to one place; marked with a dagger.
        extension: whether it is this project's own, not one of the paper's; marked with a double dagger.
        note: what else has to be said of it, below the table; empty for nothing.
        section: heading of the part of the table that it stands in; empty for the first.
        bound: whether it says what is easy or what is possible, and can not be the best.
    """

    method: str
    label: str
    centralised: bool
    extension: bool = False
    note: str = ""
    section: str = ""
    bound: bool = False


@dataclass(frozen=True)
class Cell:
    """Mean and sample standard deviation of Dice over test subjects, in percent.

    Attributes:
        mean: over subjects; with several seeds each subject's value is its mean over seeds first.
        std: over subjects, divisor n - 1; 0 for a single subject.
        n: number of test subjects.
        seeds: number of seeds.
        seed_std: standard deviation over seeds of the cell's mean; nan for one seed.
    """

    mean: float
    std: float
    n: int
    seeds: int
    seed_std: float

    @property
    def text(self) -> str:
        """As in the paper: mean and deviation with one digit."""
        return f"{self.mean:.1f}±{self.std:.1f}"


Table = dict[tuple[str, str, str], Cell]
"""(setup, target, method) -> cell."""


def summarise(seeds: Sequence[Mapping[str, Subject]]) -> Cell:
    """Summarise a cell from each seed's subjects."""
    values = list(over_seeds(seeds, "dice").values())
    seed_means = [seed_mean(seed, "dice") for seed in seeds]
    return Cell(
        mean=statistics.fmean(values),
        std=statistics.stdev(values) if len(values) > 1 else 0.0,
        n=len(values),
        seeds=len(seeds),
        seed_std=statistics.stdev(seed_means) if len(seeds) > 1 else math.nan,
    )


def write_long(
    table: Table,
    columns: Sequence[Column],
    rows: Sequence[Row],
    labels: Mapping[tuple[str, str, str], tuple[int, int]],
    path: Path,
) -> None:
    """Write one line per cell; percentages with four digits."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            ["setup", "target", "in_federation", "method", *LABELS, "centralised"]
            + ["dice_mean", "dice_std", "n", "seeds", "seed_std"]
        )
        for row in rows:
            for column in columns:
                key = column.setup, column.target, row.method
                cell = table[key]
                seed_std = "" if math.isnan(cell.seed_std) else f"{cell.seed_std:.4f}"
                writer.writerow(
                    [column.setup, column.target, int(column.federated), row.method, *labels[key]]
                    + [int(row.centralised), f"{cell.mean:.4f}", f"{cell.std:.4f}", cell.n, cell.seeds, seed_std]
                )
