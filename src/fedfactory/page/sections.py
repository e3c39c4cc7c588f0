"""Sections of the page below the table: beside the paper, and costs."""

from collections.abc import Mapping, Sequence
from typing import Any

from fedfactory.evaluation.paper import beside_text, order_agreement
from fedfactory.evaluation.study import Key, Study
from fedfactory.page.content import cost_table


def tables(
    study: Study, rows: Sequence[Mapping[str, Any]], costs: Mapping[Key, Mapping[str, Any]], phantom: bool
) -> list[dict[str, Any]]:
    """Sections that are tables.

    Args:
        study: the table.
        rows: of :func:`fedfactory.evaluation.paper.beside`; without any there is no such section.
        costs: of each cell, from its ``cell.json``.
        phantom: whether the data are phantoms.
    """
    sections = []
    if rows:
        labels = {row.method: row.label for row in study.rows}
        setups = {setup: columns[0].setup_label for setup, columns in study.setups.items()}
        shown = {(row["setup"], row["target"], row["method"]): row for row in rows}
        compared = [m for m in study.methods if any(key[2] == m for key in shown)]
        kind = (
            "These are phantoms: what can be compared is the order of methods, not a value."
            if phantom
            else "‡: further from the paper than the spread over subjects and seeds lets expect (95 %)."
        )
        tau = "; ".join(
            f"{setups[setup]} {value:.2f} ({count} methods)" for setup, (value, count) in order_agreement(rows).items()
        )
        sections.append(
            {
                "id": "paper",
                "title": "Beside the paper",
                "text": f"Here / in the paper's Table 1 (difference). {kind} Order of methods, Kendall's tau: {tau}.",
                "tables": [
                    {
                        "caption": "Dice in percent",
                        "head": ["Method", *(f"{c.setup_label} {c.label}" for c in study.columns)],
                        "rows": [
                            [labels[m], *(beside_text(shown.get((c.setup, c.target, m))) for c in study.columns)]
                            for m in compared
                        ],
                    }
                ],
            }
        )
    sections.append(
        {
            "id": "costs",
            "title": "What it costs",
            "text": "Means over the targets, of the first seed. The last attempt of a job counts; energy is that of "
            "the whole processor while a job ran, where its counter can be read.",
            "tables": [
                {
                    "caption": "Cost of a cell",
                    "head": [
                        *("Method", "own jobs, CPU s", "with shared jobs, CPU s", "of a GPU, s"),
                        *("largest job, MB", "exchanged, MB", "energy, kJ"),
                    ],
                    "rows": cost_table(study, costs),
                }
            ],
        }
    )
    return sections
