"""The table beside the paper's Table 1: cell by cell, the claims of its section 4.3, and the order of methods."""

import csv
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedfactory.evaluation.best import LEVEL, chance_of_rival
from fedfactory.evaluation.table import Cell, summarise
from fedfactory.evaluation.table_cells import Key, Study
from fedfactory.storage.tables import to_markdown

OURS = "ours"
"""The paper's own method, in the paper's table and in ours."""
FAILED = 5.0
"""Dice in percent below which the paper counts a cell as failed (section 4.3)."""
_FAR = "◊"


@dataclass(frozen=True)
class Claims:
    """What section 4.3 says of a table, computed from one.

    Attributes:
        averages: setup -> mean and (population) standard deviation over the cells without Ours.
        failures: setup -> number of cells without Ours below :data:`FAILED`, and of all of them.
        wins: number of targets on which Ours is best, or shares it.
        targets: number of targets.
        minimum: the lowest cell of Ours.
    """

    averages: Mapping[str, tuple[float, float]]
    failures: Mapping[str, tuple[int, int]]
    wins: int
    targets: int
    minimum: float


def read_paper(file: Path) -> dict[Key, tuple[float, float]]:
    """The paper's table, config/table1_paper.csv: (setup, target, method) -> mean and deviation over subjects."""
    with file.open(newline="") as stream:
        return {
            (row["setup"], row["target"], row["method"]): (float(row["dice_mean"]), float(row["dice_std"]))
            for row in csv.DictReader(stream)
        }


def read_test_subjects(file: Path) -> dict[tuple[str, str], tuple[int | None, str]]:
    """config/table1_paper_subjects.csv: (setup, target) -> number of test cases, None if unknown, and where from."""
    with file.open(newline="") as stream:
        return {
            (row["setup"], row["target"]): (int(row["n"]) if row["n"] else None, row["from"])
            for row in csv.DictReader(stream)
        }


def best_of_paper(
    paper: Mapping[Key, tuple[float, float]], subjects: Mapping[tuple[str, str], tuple[int | None, str]]
) -> list[dict[str, Any]]:
    """A row for each target: its best method, and the probability that its closest rival is truly better.

    From means, deviations and numbers of test cases (:func:`fedfactory.evaluation.best.chance_of_rival`). ``holds``
    says whether that is at most 5 %; both are empty where the number of test cases is not known, or is one.
    """
    rows = []
    for (setup, target), (n, source) in subjects.items():
        cells = {method: value for (*place, method), value in paper.items() if tuple(place) == (setup, target)}
        best = max(cells, key=lambda method: cells[method][0])
        found: dict[str, Any] = {"setup": setup, "target": target, "best": best, "n": n or "", "n_from": source}
        if n is None or n < 2:
            rows.append({**found, "rival": "", "p_rival_is_better": "", "holds": ""})
            continue
        chances = {m: chance_of_rival(cells[best], value, n) for m, value in cells.items() if m != best}
        rival = max(chances, key=chances.__getitem__)
        rows.append(
            {**found, "rival": rival, "p_rival_is_better": chances[rival], "holds": int(chances[rival] <= 1 - LEVEL)}
        )
    return rows


def claims(means: Mapping[Key, float]) -> Claims:
    """Compute what section 4.3 claims from the cells of a table, of which every column has every method."""
    others: dict[str, list[float]] = {}
    columns: dict[tuple[str, str], dict[str, float]] = {}
    for (setup, target, method), value in means.items():
        columns.setdefault((setup, target), {})[method] = value
        if method != OURS:
            others.setdefault(setup, []).append(value)
    return Claims(
        averages={setup: (statistics.fmean(v), statistics.pstdev(v)) for setup, v in others.items()},
        failures={setup: (sum(value < FAILED for value in v), len(v)) for setup, v in others.items()},
        wins=sum(round(column[OURS], 1) == round(max(column.values()), 1) for column in columns.values()),
        targets=len(columns),
        minimum=min(column[OURS] for column in columns.values()),
    )


def repeated(paper: Mapping[Key, tuple[float, float]]) -> list[tuple[str, str, str, str]]:
    """Cells of one column that agree in mean and deviation to the last digit: (setup, target, method, method)."""
    found = []
    seen: dict[Any, Any] = {}
    for (setup, target, method), value in paper.items():
        # Zero is what many failures share.
        if value[0] > FAILED and (twin := seen.setdefault((setup, target, value), method)) != method:
            found.append((setup, target, twin, method))
    return found


def beside(study: Study, paper: Mapping[Key, tuple[float, float]], phantom: bool) -> list[dict[str, Any]]:
    """A row for each cell that both tables have.

    ``within`` says whether the difference lies within what the spread over subjects and seeds of both tables lets
    expect (95 %); the paper's number of subjects and its seeds are not known, so that ours stand for them. With
    phantoms nothing is expected, and it is empty.
    """
    rows = []
    for key, seeds in study.cells.items():
        if key in paper:
            cell, (mean, deviation) = summarise(seeds), paper[key]
            rows.append(
                {
                    **dict(zip(("setup", "target", "method"), key, strict=True)),
                    **{"paper_mean": mean, "paper_std": deviation, "mean": cell.mean, "std": cell.std},
                    **{
                        "difference": cell.mean - mean,
                        "within": "" if phantom else int(_within(cell, mean, deviation)),
                    },
                }
            )
    return rows


def order_agreement(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float, int]]:
    """Setup -> Kendall's tau between both tables' order of methods, by their mean over targets, and their number.

    nan where fewer than three methods can be ordered.
    """
    from scipy.stats import kendalltau

    found = {}
    for setup in dict.fromkeys(row["setup"] for row in rows):
        own, paper = (
            {
                method: statistics.fmean(r[name] for r in rows if (r["setup"], r["method"]) == (setup, method))
                for method in dict.fromkeys(row["method"] for row in rows if row["setup"] == setup)
            }
            for name in ("mean", "paper_mean")
        )
        tau = float(kendalltau(list(own.values()), list(paper.values())).statistic) if len(own) > 2 else math.nan
        found[setup] = (tau, len(own))
    return found


def about(rows: Sequence[Mapping[str, Any]], setups: Mapping[str, str], phantom: bool) -> str:
    """What can be read from :func:`grid_of`, and how far the order of methods agrees, in sentences."""
    kind = (
        "Phantoms are no patients: what can be compared is the order of methods, not a value."
        if phantom
        else f"{_FAR}: further from the paper than the spread over subjects and seeds lets expect (95 %: one cell in "
        "twenty is, by chance)."
    )
    taus = [
        f"{setups[setup]} {tau:.2f} ({count} methods)"
        for setup, (tau, count) in order_agreement(rows).items()
        if not math.isnan(tau)
    ]
    order = f" Order of methods, Kendall's tau (1: the paper's, -1: reversed): {'; '.join(taus)}." if taus else ""
    return kind + order


def grid_of(study: Study, rows: Sequence[Mapping[str, Any]], phantom: bool) -> list[dict[str, str]]:
    """Rows of a table: for each method that the paper has, every target here and there."""
    by_cell = {(row["setup"], row["target"], row["method"]): row for row in rows}
    compared = {row["method"] for row in rows}
    return [
        {
            "": row.label,
            **{
                f"{column.setup_label} {column.label}": _text(
                    by_cell.get((column.setup, column.target, row.method)), phantom
                )
                for column in study.columns
            },
        }
        for row in study.rows
        if row.method in compared
    ]


def to_page(
    study: Study,
    paper: Mapping[Key, tuple[float, float]],
    best: Sequence[Mapping[str, Any]],
    rows: Sequence[Mapping[str, Any]],
    phantom: bool,
) -> str:
    """Both tables beside each other as Markdown, and what of the paper's bold cells holds."""
    setups = {setup: columns[0].setup_label for setup, columns in study.setups.items()}
    parts = [
        "# Beside the paper\n",
        f"Dice in percent: here / in the paper's Table 1{'' if phantom else ' (difference)'}. "
        f"{about(rows, setups, phantom)}\n",
        to_markdown(grid_of(study, rows, phantom)),
    ]
    complete = {(row["setup"], row["target"], row["method"]): row["mean"] for row in rows}
    if len(complete) == len(paper):
        parts += ["## Claims of section 4.3, recomputed\n", _claims(paper, complete, setups)]
    parts += ["## How sure the paper's bold cells are\n", _best_text(best)]
    return "\n".join(parts)


def _best_text(best: Sequence[Mapping[str, Any]]) -> str:
    tested = [row for row in best if row["n"]]
    held = sum(row["holds"] for row in tested)
    rows = [
        {
            **{"target": f"{row['setup']}/{row['target']}", "best": row["best"], "closest rival": row["rival"]},
            "rival is better with": f"{row['p_rival_is_better']:.3f}" if row["n"] else "not testable",
            **{"test cases": str(row["n"]), "counted from": row["n_from"]},
        }
        for row in best
    ]
    return (
        f"{held} of {len(tested)} bold cells that can be tested hold at 5 %. The paper prints means and deviations and "
        "no test cases: their number is worked out from its split. The probability is that of a one-sided paired "
        "t-test, with a correlation of 0.5 between methods over test cases, which no table prints.\n\n"
        + to_markdown(rows)
    )


def _claims(paper: Mapping[Key, tuple[float, float]], own: Mapping[Key, float], setups: Mapping[str, str]) -> str:
    theirs, ours = claims({key: value[0] for key, value in paper.items()}), claims(own)
    rows = [
        {
            "claim": f"mean over the cells of {label} without Ours",
            "paper's table": "{:.1f}±{:.1f}".format(*theirs.averages[setup]),
            "here": "{:.1f}±{:.1f}".format(*ours.averages[setup]),
        }
        for setup, label in setups.items()
    ]
    rows += [
        {
            "claim": f"cells of {label} without Ours below {FAILED:.0f} %",
            "paper's table": "{} of {}".format(*theirs.failures[setup]),
            "here": "{} of {}".format(*ours.failures[setup]),
        }
        for setup, label in setups.items()
    ]
    rows.append(
        {
            "claim": "targets on which Ours is best",
            "paper's table": f"{theirs.wins} of {theirs.targets}",
            "here": f"{ours.wins} of {ours.targets}",
        }
    )
    rows.append(
        {"claim": "lowest cell of Ours", "paper's table": f"{theirs.minimum:.1f}", "here": f"{ours.minimum:.1f}"}
    )
    twins = repeated(paper)
    text = to_markdown(rows)
    if twins:
        second = {(setup, target, method) for setup, target, _, method in twins}
        without = claims({key: value[0] for key, value in paper.items() if key not in second})
        names = ", ".join(f"{setups[setup]} {target} ({first} and {other})" for setup, target, first, other in twins)
        changed = ", ".join(
            "{} {:.1f}±{:.1f}".format(setups[setup], *without.averages[setup])
            for setup in dict.fromkeys(setup for setup, *_ in twins)
        )
        text += (
            f"\nCells of the paper's table that agree with another row's to the last digit, mean and deviation: "
            f"{names}. One of the two is likely a slip; without the later row's, the means become {changed}.\n"
        )
    return text


def _within(cell: Cell, mean: float, deviation: float) -> bool:
    from scipy.stats import t

    of_seeds = 0.0 if math.isnan(cell.seed_std) else cell.seed_std
    # Ours is the mean over seeds, the paper's one of them, as far as it says.
    error = math.sqrt((cell.std**2 + deviation**2) / cell.n + of_seeds**2 * (1 + 1 / cell.seeds))
    return abs(cell.mean - mean) <= float(t.ppf(0.975, max(1, 2 * (cell.n - 1)))) * error


def _text(row: Mapping[str, Any] | None, phantom: bool) -> str:
    if row is None:
        return ""
    values = f"{row['mean']:.1f} / {row['paper_mean']:.1f}"
    mark = _FAR if row["within"] == 0 else ""
    return values if phantom else f"{values} ({row['difference']:+.1f}){mark}"
