"""Figures of each test subject of a cell, from its scores: the mean over cases and classes that the table shows."""

import csv
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from fedfactory.errors import FedFactoryError

METRICS = {"dice": "Dice (%)", "nsd": "NSD (%)", "hd95_mm": "HD95 (mm)", "volume_error": "volume error (%)"}
"""Figures of merit, columns of a score file, and what tables call them; of the volume error its size counts."""
LABELS = ("labels_train", "labels_choose")
"""Columns of a score file: labelled slices of the target that train the method, and that choose something."""
REACH = {
    "dice_inside": "Dice between first and last slice (%)",
    "slices_beyond": "slices beyond",
    "mm_beyond": "furthest beyond (mm)",
}
"""Columns of a score file on the slices that hold a class in truth (:class:`fedfactory.evaluation.metrics.Reach`)."""
_SHARES = ("dice", "nsd", "dice_inside")
_PERCENT = ("dice", "nsd", "volume_error", "dice_inside")


@dataclass(frozen=True)
class Subject:
    """One test subject of one cell.

    Attributes:
        figures: metric -> mean over cases of the mean over classes; percentages and mm; nan where nothing is known.
        outcomes: how often a class of a case was ``found``, a ``miss`` or a ``false_alarm``.
        classes: class -> metric or column of :data:`REACH` -> its mean over cases.
    """

    figures: Mapping[str, float]
    outcomes: Mapping[str, int]
    classes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def read_subjects(path: Path) -> dict[str, Subject]:
    """Read a cell's subjects.

    Classes are averaged per case (setup MS: LV, RV and MYO first, as in the paper), then cases per subject (end
    diastole and end systole). A class that neither truth nor prediction holds counts nowhere.

    Raises:
        FedFactoryError: a case without any Dice value, a class of a case twice, a figure that is none, or a file
            without the columns of this version.
    """
    cases: dict[str, dict[str, list[Mapping[str, str]]]] = defaultdict(lambda: defaultdict(list))
    seen: set[tuple[str, str]] = set()
    for row in _rows(path, {*METRICS, *REACH, "outcome"}):
        _check_figures(path, row)
        if (place := (row["case"], row["class"])) in seen:
            raise FedFactoryError(f"{path}: has class {place[1]} of case {place[0]} twice; score the cell again")
        seen.add(place)
        cases[row["subject"]][row["case"]].append(row)
    subjects = {}
    for subject, by_case in cases.items():
        for case, rows in by_case.items():
            if not any(row["dice"] for row in rows):
                raise FedFactoryError(
                    f"{path}: case {case} has no Dice value; its truth holds none of the setup's classes"
                )
        figures = {name: mean([_case_figure(rows, name) for rows in by_case.values()]) for name in METRICS}
        outcomes = Counter(row["outcome"] for rows in by_case.values() for row in rows)
        rows_of: dict[str, list[Mapping[str, str]]] = defaultdict(list)
        for found in chain.from_iterable(by_case.values()):
            rows_of[found["class"]].append(found)
        classes = {
            name: {figure: _case_figure(rows, figure) for figure in (*METRICS, *REACH)}
            for name, rows in rows_of.items()
        }
        counted = {name: outcomes[name] for name in ("found", "miss", "false_alarm")}
        subjects[subject] = Subject(figures, counted, classes)
    return subjects


def read_labels(path: Path) -> tuple[int, int]:
    """Labelled slices of the target that train a cell's method, and those that choose something; of several the most.

    Raises:
        FedFactoryError: a file without these columns.
    """
    rows = _rows(path, LABELS)
    train, choose = (max(int(row[name]) for row in rows) for name in LABELS)
    return train, choose


def over_seeds(seeds: Sequence[Mapping[str, Subject]], metric: str) -> dict[str, float]:
    """Each subject's figure, its mean over seeds; subjects in the order of their names."""
    return {name: mean([seed[name].figures[metric] for seed in seeds]) for name in sorted(seeds[0])}


def seed_mean(seed: Mapping[str, Subject], metric: str) -> float:
    """Mean over the subjects of one seed."""
    return mean([subject.figures[metric] for subject in seed.values()])


def mean(values: Sequence[float]) -> float:
    """Mean of the known values; nan if none is."""
    known = [value for value in values if not math.isnan(value)]
    return statistics.fmean(known) if known else math.nan


def _rows(path: Path, columns: Collection[str]) -> list[dict[str, str]]:
    """Rows of a score file, which must have some columns."""
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        if missing := set(columns) - set(reader.fieldnames or ()):
            raise FedFactoryError(f"{path}: has no column '{min(missing)}'; score the cell again: snakemake -f {path}")
        return list(reader)


def _check_figures(path: Path, row: Mapping[str, str]) -> None:
    for name in (*METRICS, *REACH):
        text = row[name]
        try:
            value = float(text) if text else 0.0
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or (name in _SHARES and not 0 <= value <= 1):
            raise FedFactoryError(f"{path}: case {row['case']} has '{text}' as {name}; score the cell again")


def _case_figure(rows: Sequence[Mapping[str, str]], metric: str) -> float:
    factor = 100 if metric in _PERCENT else 1
    return mean([factor * abs(float(row[metric])) for row in rows if row[metric]])
