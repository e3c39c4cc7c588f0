"""All cells of a table with their subjects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

from fedfactory.errors import FedFactoryError
from fedfactory.evaluation.subjects import Subject, mean, over_seeds, read_labels, read_subjects
from fedfactory.evaluation.table import Column, Row

T = TypeVar("T")
Key = tuple[str, str, str]
"""(setup, target, method)."""


@dataclass(frozen=True)
class Study:
    """All cells of a table with their subjects.

    Attributes:
        columns: the targets.
        rows: the methods.
        cells: (setup, target, method) -> for each seed, subject -> its figures.
        labels: the same -> labelled slices of the target that train the method, and those that choose something;
            where seeds differ the most.
    """

    columns: Sequence[Column]
    rows: Sequence[Row]
    cells: Mapping[Key, Sequence[Mapping[str, Subject]]]
    labels: Mapping[Key, tuple[int, int]]

    @classmethod
    def read(cls, spec: Mapping[str, Any], scores: Sequence[Path]) -> Self:
        """Read the scores of all cells of a table.

        Args:
            spec: of the table (:mod:`fedfactory.evaluation.specification`).
            scores: a file for each column, in it each row, in it each seed.

        Raises:
            FedFactoryError: as :func:`fedfactory.evaluation.subjects.read_subjects`; another number of files than the
                table has cells and seeds; or cells of a target that were scored on different subjects.
        """
        columns, rows = [Column(**c) for c in spec["columns"]], [Row(**r) for r in spec["rows"]]
        keys = [(column.setup, column.target, row.method) for column in columns for row in rows]
        seeds = len(spec["seeds"])
        if len(scores) != len(keys) * seeds:
            raise FedFactoryError(
                f"--scores: {len(scores)} files for {len(keys)} cells with {seeds} seeds each; give one for each"
            )
        cells = {
            key: [read_subjects(file) for file in scores[number * seeds : (number + 1) * seeds]]
            for number, key in enumerate(keys)
        }
        for column in columns:
            own = [(row, seed) for row in rows for seed in cells[column.setup, column.target, row.method]]
            for row, seed in own:
                if seed.keys() != own[0][1].keys():
                    raise FedFactoryError(
                        f"{column.setup}/{column.target}: {row.method} was scored on other test subjects than "
                        f"{own[0][0].method}; score the target's cells again"
                    )
        labels = {}
        for number, key in enumerate(keys):
            train, choose = zip(*map(read_labels, scores[number * seeds : (number + 1) * seeds]), strict=True)
            labels[key] = max(train), max(choose)
        return cls(columns, rows, cells, labels)

    def by_cell(self, values: Sequence[T]) -> dict[Key, Sequence[T]]:
        """What belongs to each cell: one value for each seed, given in the order of the scores."""
        seeds = len(values) // len(self.cells)
        return {key: values[number * seeds : (number + 1) * seeds] for number, key in enumerate(self.cells)}

    def native(self, stories: Sequence[Mapping[str, Any]]) -> set[Key]:
        """Cells whose bytes depend on processor or GPU, by the stories of all, in the order of the scores."""
        portable = self.by_cell([story["portable"] for story in stories])
        return {key for key, seeds in portable.items() if not all(seeds)}

    def label_counts(self, method: str) -> str:
        """Column G of a row: labelled slices of a target that train + that choose, least to most; empty for none."""
        counts = [self.labels[column.setup, column.target, method] for column in self.columns]
        train, choose = (_span(own) for own in zip(*counts, strict=True))
        return f"{train or 0} + {choose}" if choose else train

    @property
    def methods(self) -> list[str]:
        """Names of the methods, in the order of the table."""
        return [row.method for row in self.rows]

    @property
    def contenders(self) -> list[str]:
        """Names of the methods that can be the best: all but bounds."""
        return [row.method for row in self.rows if not row.bound]

    @cached_property
    def setups(self) -> dict[str, list[Column]]:
        """Setup -> its targets, in the order of the table."""
        found: dict[str, list[Column]] = {}
        for column in self.columns:
            found.setdefault(column.setup, []).append(column)
        return found

    def values(self, column: Column, method: str, metric: str = "dice") -> list[float]:
        """A cell's subjects in the order of their names, each the mean over seeds."""
        return list(over_seeds(self.cells[column.setup, column.target, method], metric).values())

    def by_seed(self, column: Column, method: str, metric: str = "dice") -> list[list[float]]:
        """A cell's subjects in the order of their names, for each seed."""
        seeds = self.cells[column.setup, column.target, method]
        return [[seed[name].figures[metric] for name in sorted(seed)] for seed in seeds]

    def mean(self, column: Column, method: str, metric: str = "dice") -> float:
        """A cell's mean over subjects."""
        return mean(self.values(column, method, metric))

    def pooled(self, setup: str, metric: str = "dice") -> dict[str, list[float]]:
        """Contender -> the subjects of all targets of a setup, in one order."""
        columns = self.setups[setup]
        return {m: [value for column in columns for value in self.values(column, m, metric)] for m in self.contenders}


def _span(counts: Sequence[int]) -> str:
    """From the least to the most; empty if all are 0."""
    low, high = min(counts), max(counts)
    return "" if not high else f"{low}" if low == high else f"{low}–{high}"
