"""What may be said of a table: metrics with intervals, comparisons, ranks, fairness over sites, the federation."""

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from fedfactory.evaluation.best import chances, may_be_best
from fedfactory.evaluation.statistics import (
    Comparison,
    Ranking,
    compare_pairs,
    confidence_interval,
    rank,
)
from fedfactory.evaluation.subjects import METRICS, REACH, mean
from fedfactory.evaluation.table import Column
from fedfactory.evaluation.table_cells import Key, Study
from fedfactory.training.seeds import derive_seed

SCALE = "Between what is easy and what is possible"
"""Title of what :func:`scaled_grid` shows."""


def metric_rows(study: Study) -> Iterator[dict[str, Any]]:
    """One row for each cell: every metric's mean, deviation and interval, and how often a class was missed."""
    for row in study.rows:
        for column in study.columns:
            seeds = study.cells[column.setup, column.target, row.method]
            outcomes = [subject.outcomes for seed in seeds for subject in seed.values()]
            found: dict[str, Any] = {
                **{"setup": column.setup, "target": column.target, "method": row.method},
                **{"subjects": len(seeds[0]), "seeds": len(seeds)},
                **{name: sum(outcome[name] for outcome in outcomes) for name in ("found", "miss", "false_alarm")},
            }
            for metric in METRICS:
                values = study.values(column, row.method, metric)
                known = [value for value in values if not math.isnan(value)]
                low, high = confidence_interval(
                    values, derive_seed("interval", column.setup, column.target, row.method, metric)
                )
                found |= {
                    f"{metric}_mean": mean(values),
                    f"{metric}_std": statistics.stdev(known) if len(known) > 1 else math.nan,
                    f"{metric}_low": low,
                    f"{metric}_high": high,
                }
            yield found


def class_rows(study: Study) -> Iterator[dict[str, Any]]:
    """One row for each cell and class: means over subjects, each the mean over seeds and cases; nan where unknown."""
    for row in study.rows:
        for column in study.columns:
            seeds = study.cells[column.setup, column.target, row.method]
            for name in next(iter(seeds[0].values())).classes:
                yield {
                    **{"setup": column.setup, "target": column.target, "method": row.method, "class": name},
                    **{
                        figure: mean(
                            [mean([seed[subject].classes[name][figure] for seed in seeds]) for subject in seeds[0]]
                        )
                        for figure in (*METRICS, *REACH)
                    },
                }


def comparisons(study: Study) -> dict[str, list[Comparison]]:
    """Paired tests of Dice: all pairs over the subjects of a setup, and the best of each target with all others.

    Returns:
        ``ms`` or ``ms/ge`` -> comparisons; in a target's the best method comes first in each.
    """
    found = {}
    for setup, columns in study.setups.items():
        found[setup] = compare_pairs(study.pooled(setup))
        for column in columns:
            found[f"{setup}/{column.target}"] = compare_with_best(study, column)
    return found


def compare_with_best(study: Study, column: Column) -> list[Comparison]:
    """The best method of a target with each other one; the best comes first in each.

    Corrected over all pairs of the target: the best is picked from the same data, and so is the largest difference.
    """
    values = {method: study.values(column, method) for method in study.contenders}
    best = max(study.contenders, key=lambda method: statistics.fmean(values[method]))
    pairs = [pair for pair in compare_pairs(values) if best in (pair.first, pair.second)]
    return [pair if pair.first == best else pair.turned() for pair in pairs]


def best(study: Study) -> dict[Key, float]:
    """Probability that each contender's cell is truly the best of its column (:mod:`fedfactory.evaluation.best`)."""
    found: dict[Key, float] = {}
    for column in study.columns:
        place = column.setup, column.target
        values = {method: study.by_seed(column, method) for method in study.contenders}
        own = chances(values, derive_seed("best", *place))
        found |= {(*place, method): chance for method, chance in own.items()}
    return found


def bold(found: Mapping[Key, float]) -> set[Key]:
    """Cells that may be the best of their column; none where there is no choice.

    Args:
        found: of :func:`best`.
    """
    columns: dict[tuple[str, str], dict[str, float]] = {}
    for (setup, target, method), chance in found.items():
        columns.setdefault((setup, target), {})[method] = chance
    return {(*place, method) for place, own in columns.items() if len(own) > 1 for method in may_be_best(own)}


def best_rows(found: Mapping[Key, float]) -> list[dict[str, Any]]:
    """What :func:`best` and :func:`bold` find, as rows."""
    chosen = bold(found)
    return [
        {
            **dict(zip(("setup", "target", "method"), key, strict=True)),
            **{"p_best": chance, "p_another_is_better": 1 - chance, "may_be_best": int(key in chosen)},
        }
        for key, chance in found.items()
    ]


def rankings(study: Study) -> dict[str, Ranking]:
    """Setup -> methods ranked by Dice within each of its subjects."""
    return {setup: rank(study.pooled(setup)) for setup in study.setups}


def site_rows(study: Study) -> Iterator[dict[str, Any]]:
    """Fairness over sites, a row for each method and setup, and for all targets: worst site, best site, spread."""
    groups = {**study.setups, "all": list(study.columns)}
    for row in study.rows:
        for name, columns in groups.items():
            means = {f"{column.setup}/{column.target}": study.mean(column, row.method) for column in columns}
            worst, best = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
            yield {
                **{"setup": name, "method": row.method, "mean": statistics.fmean(means.values())},
                **{"worst_site": worst, "worst": means[worst], "best_site": best, "best": means[best]},
                **{"spread": means[best] - means[worst]},
                "deviation": statistics.stdev(means.values()) if len(means) > 1 else math.nan,
            }


def scaled_rows(study: Study, low: str, high: str) -> Iterator[dict[str, Any]]:
    """Where each row lies between two others, for each setup: 0 like the first, 100 like the second; may lie beyond.

    Args:
        study: the table.
        low: a row that looks at no image.
        high: a row of what is possible.
    """
    for row in study.rows:
        for setup, columns in study.setups.items():
            own, least, most = (
                statistics.fmean(study.mean(column, name) for column in columns) for name in (row.method, low, high)
            )
            share = 100 * (own - least) / (most - least) if most > least else math.nan
            yield {"setup": setup, "method": row.method, "mean": own, "scaled": share}


def scaled_grid(study: Study, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """What :func:`scaled_rows` found as a table to read: a line for each row, "mean (scaled)" for each setup."""
    texts = {}
    for row in rows:
        scaled = "–" if math.isnan(row["scaled"]) else f"{row['scaled']:.0f}"
        texts[row["setup"], row["method"]] = f"{row['mean']:.1f} ({scaled})"
    return [
        {
            "": row.label,
            **{columns[0].setup_label: texts[setup, row.method] for setup, columns in study.setups.items()},
        }
        for row in study.rows
    ]


def about_scale(study: Study, low: str, high: str) -> str:
    """What the figures of :func:`scaled_grid` are."""
    labels = {row.method: row.label for row in study.rows}
    return (
        f"Mean Dice of a setup's targets, and in brackets where it lies between '{labels[low]}' (0) and "
        f"'{labels[high]}' (100)."
    )


def federation_rows(study: Study, reference: str) -> Iterator[dict[str, Any]]:
    """Targets inside the federation against those outside, for each method and setup that has both.

    Args:
        study: the table.
        reference: the method of the source alone, over which a gain is counted: other sites lie inside than outside.
    """
    for row in study.rows:
        for setup, columns in study.setups.items():
            found: dict[str, Any] = {"setup": setup, "method": row.method}
            for side, federated in (("inside", True), ("outside", False)):
                chosen = [column for column in columns if column.federated == federated]
                own, source_only = (
                    mean([study.mean(column, method) for column in chosen]) for method in (row.method, reference)
                )
                found |= {side: own, f"gain_{side}": own - source_only}
            if not math.isnan(found["inside"] + found["outside"]):
                yield found


def comparison_rows(tests: Mapping[str, Sequence[Comparison]]) -> list[dict[str, Any]]:
    """What :func:`comparisons` found, as rows."""
    return [
        {"scope": scope, **asdict(pair), "significant": int(pair.significant)}
        for scope, pairs in tests.items()
        for pair in pairs
    ]


def rank_rows(ranks: Mapping[str, Ranking]) -> list[dict[str, Any]]:
    """What :func:`rankings` found, as rows."""
    return [
        {"setup": setup, "method": method, "mean_rank": value, "subjects": ranking.n, "friedman_p": ranking.p}
        for setup, ranking in ranks.items()
        for method, value in ranking.mean_ranks.items()
    ]
