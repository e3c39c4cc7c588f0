"""The analysis of a table as Markdown."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fedfactory.evaluation.analysis import SCALE, about_scale, scaled_grid
from fedfactory.evaluation.statistics import Ranking
from fedfactory.evaluation.subjects import METRICS
from fedfactory.evaluation.table_cells import Study
from fedfactory.storage.tables import to_markdown

_NOTES = {
    "dice": "Higher is better.",
    "nsd": "Share of the surface within the tolerance of the configuration (`nsd_tolerance_mm`). Higher is better.",
    "hd95_mm": "Lower is better; a class that is missed, or claimed where it is not, counts as the image's diagonal.",
    "volume_error": "Size of the error, whatever its sign. Lower is better; a miss is 200 %.",
}


def to_page(
    study: Study,
    tables: Mapping[str, Sequence[Mapping[str, Any]]],
    ranks: Mapping[str, Ranking],
    conclusions: Sequence[str],
    spec: Mapping[str, Any],
) -> str:
    """Conclusions first, then the figures they rest on.

    Args:
        study: the table.
        tables: what :mod:`fedfactory.evaluation.analysis` found: ``metrics``, ``sites``, ``scaled`` and ``federation``.
        ranks: of :func:`fedfactory.evaluation.analysis.rankings`.
        conclusions: sentences.
        spec: of the table.
    """
    labels = {row.method: row.label for row in study.rows}
    parts = ["# What the table allows to say\n", spec["caption"] + "\n", "".join(f"- {line}\n" for line in conclusions)]
    by_cell = {(row["setup"], row["target"], row["method"]): row for row in tables["metrics"]}
    for metric, title in METRICS.items():
        parts.append(f"## {title}\n\n{_NOTES[metric]} Mean and 95 % bootstrap interval over subjects.\n")
        parts.append(_grid(study, by_cell, lambda row, metric=metric: _interval(row, metric)))
    parts.append(
        "## Misses and false alarms\n\nClasses of cases that a method did not find, or claimed where they are not; in "
        "all seeds.\n"
    )
    parts.append(
        _grid(study, by_cell, lambda row: f"{row['miss']} + {row['false_alarm']} of {row['found'] + row['miss']}")
    )
    parts.append("## Ranks\n\nMean rank within subjects by Dice; 1 is best.\n")
    setups = {setup: columns[0].setup_label for setup, columns in study.setups.items()}
    parts.append(
        to_markdown(
            [
                {"": labels[m], **{label: f"{ranks[setup].mean_ranks[m]:.2f}" for setup, label in setups.items()}}
                for m in study.contenders
            ]
        )
    )
    parts.append("## Fairness over sites\n\nDice in percent; spread: best site minus worst.\n")
    parts.append(
        to_markdown(
            [
                {
                    **{"": labels[row["method"]], "mean": _number(row["mean"])},
                    **{"worst site": row["worst_site"], "worst": _number(row["worst"])},
                    **{"spread": _number(row["spread"]), "deviation over sites": _number(row["deviation"])},
                }
                for row in tables["sites"]
                if row["setup"] == "all"
            ]
        )
    )
    if tables["scaled"]:
        parts.append(f"## {SCALE}\n\n{about_scale(study, *spec['scale'])}\n")
        parts.append(to_markdown(scaled_grid(study, tables["scaled"])))
    if federation := tables["federation"]:
        parts.append(
            "## Inside and outside of the federation\n\nDice in percent, and what a method gains over a network of the "
            "source alone. Other sites lie inside than outside: their difficulty is part of the difference.\n"
        )
        parts.append(
            to_markdown(
                [
                    {
                        **{"": labels[row["method"]], "setup": setups[row["setup"]]},
                        **{name: _number(row[name]) for name in ("inside", "outside")},
                        **{f"gain {side}": _number(row[f"gain_{side}"]) for side in ("inside", "outside")},
                    }
                    for row in federation
                ]
            )
        )
    return "\n".join(parts)


def _grid(study: Study, by_cell: Mapping[Any, Mapping[str, Any]], text: Any) -> str:
    return to_markdown(
        [
            {
                "": row.label,
                **{
                    f"{column.setup_label} {column.label}": text(by_cell[column.setup, column.target, row.method])
                    for column in study.columns
                },
            }
            for row in study.rows
        ]
    )


def _interval(row: Mapping[str, Any], metric: str) -> str:
    mean, low, high = (row[f"{metric}_{name}"] for name in ("mean", "low", "high"))
    return _number(mean) if math.isnan(low) else f"{_number(mean)} [{_number(low)}, {_number(high)}]"


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.1f}" if abs(value) >= 1 else f"{value:.2f}"
