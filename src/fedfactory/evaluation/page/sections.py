"""What stands on the page beside the table: the strict protocol's, the paper's, costs, and cards."""

from collections.abc import Mapping, Sequence
from typing import Any

from fedfactory.evaluation.analysis import SCALE, about_scale, scaled_grid, scaled_rows
from fedfactory.evaluation.page.content import cost_table
from fedfactory.evaluation.paper import about, grid_of
from fedfactory.evaluation.render import Grid
from fedfactory.evaluation.table_cells import Key, Study


def strict_protocol(strict: Grid) -> dict[str, Any]:
    """The table of the strict protocol, which stands in Table 1's place when it is asked for."""
    table = {
        "caption": "Dice in percent, strict protocol",
        "head": ["Method", "G", *strict.headings],
        "rows": [[line.label, line.counts, *line.cells] for line in strict.lines],
    }
    return {"text": strict.notes[0], "tables": [table]}


def tables(
    study: Study,
    rows: Sequence[Mapping[str, Any]],
    costs: Mapping[Key, Mapping[str, Any]],
    phantom: bool,
    scale: Sequence[str] | None,
    cards: Sequence[tuple[str, Sequence[Sequence[str]]]],
) -> list[dict[str, Any]]:
    """Sections that are tables.

    Args:
        study: the table.
        rows: of :func:`fedfactory.evaluation.paper.beside`; without any there is no such section.
        costs: of each cell, from its ``cell.json``.
        phantom: whether the data are phantoms.
        scale: rows between which Dice is scaled; None without.
        cards: of the methods: title, and facts.
    """
    sections: list[dict[str, Any]] = []
    if scale:
        low, high = scale
        scaled = scaled_grid(study, scaled_rows(study, low, high))
        sections.append(
            {
                "id": "scaled",
                "title": SCALE,
                "text": about_scale(study, low, high),
                "tables": [
                    {
                        "caption": "Dice in percent, scaled in brackets",
                        "head": ["Method", *list(scaled[0])[1:]],
                        "rows": [list(line.values()) for line in scaled],
                    }
                ],
            }
        )
    if rows:
        setups = {setup: columns[0].setup_label for setup, columns in study.setups.items()}
        grid = grid_of(study, rows, phantom)
        sections.append(
            {
                "id": "paper",
                "title": "Beside the paper",
                "text": f"Here / in the paper's Table 1. {about(rows, setups, phantom)}",
                "tables": [
                    {"caption": "Dice in percent", "head": list(grid[0]), "rows": [list(r.values()) for r in grid]}
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
                        *("Method", "own jobs, s", "with shared jobs, s", "CPU s", "of a GPU, s"),
                        *("largest process, MB", "exchanged, MB", "energy of processors, kJ", "of GPUs, kJ"),
                    ],
                    "rows": cost_table(study, costs),
                }
            ],
        }
    )
    sections.append(
        {
            "id": "cards",
            "title": "Cards of the methods",
            "text": "What a reader of a row should know beside its figures.",
            "tables": [
                {"caption": title, "head": ["what", "of this method"], "rows": [list(fact) for fact in facts]}
                for title, facts in cards
            ],
        }
    )
    return sections
