"""The analysis of made-up tables whose answers are known."""

import math
from dataclasses import replace

import numpy as np
import pytest

from fedfactory.evaluation.analysis import (
    best,
    best_rows,
    bold,
    compare_with_best,
    comparisons,
    federation_rows,
    metric_rows,
    rankings,
    scaled_rows,
    site_rows,
)
from fedfactory.evaluation.analysis_page import to_page
from fedfactory.evaluation.conclusions import conclude
from fedfactory.evaluation.subjects import METRICS, Subject
from fedfactory.evaluation.table import Column, Row
from fedfactory.evaluation.table_cells import Study

COLUMNS = [
    Column("ms", "ge", "MS", "GE", True),
    Column("ms", "canon", "MS", "Canon", False),
    Column("mm", "ct", "MM", "CT", True),
]
ROWS = [Row("source", "Source only", False), Row("tl", "+TL", False), Row("ours", "Ours", False)]
LEVELS = {"source": (30, 20, 2), "tl": (60, 60, 60), "ours": (61, 70, 90)}


def study(subjects: int, seeds: int = 1) -> Study:
    """Methods at given levels on each target; subjects differ more than methods do."""
    cells = {}
    for number, column in enumerate(COLUMNS):
        for row in ROWS:
            of_seeds = []
            for seed in range(seeds):
                rng = np.random.default_rng([number, seed])
                common = rng.normal(0, 6, subjects)
                own = np.random.default_rng([number, seed, len(row.method)]).normal(0, 1, subjects)
                values = np.clip(LEVELS[row.method][number] + common + own, 0, 100)
                of_seeds.append(
                    {
                        f"s{n}": Subject(
                            {
                                "dice": float(v),
                                "nsd": float(v),
                                "hd95_mm": float(100 - v),
                                "volume_error": float(v / 2),
                            },
                            {"found": 1, "miss": int(v < 5), "false_alarm": 0},
                        )
                        for n, v in enumerate(values)
                    }
                )
            cells[column.setup, column.target, row.method] = of_seeds
    return Study(COLUMNS, ROWS, cells, {})


def test_every_cell_has_every_figure_with_its_interval():
    rows = list(metric_rows(study(12)))
    assert len(rows) == 9
    for row in rows:
        for metric in METRICS:
            assert row[f"{metric}_low"] <= row[f"{metric}_mean"] <= row[f"{metric}_high"]
    worst = next(row for row in rows if (row["target"], row["method"]) == ("ct", "source"))
    assert worst["miss"] > 0 and worst["subjects"] == 12


def test_clear_differences_are_significant():
    tests = comparisons(study(12))
    verdicts = {(pair.first, pair.second): pair.significant for pair in tests["ms/canon"]}
    assert verdicts == {("ours", "source"): True, ("ours", "tl"): True}


def test_only_cells_that_may_be_the_best_are_bold():
    """On GE two rows lie a point apart, on the other targets ten and thirty."""
    of = study(12)
    assert {key for key in bold(best(of)) if key[1] != "ge"} == {("ms", "canon", "ours"), ("mm", "ct", "ours")}
    assert ("ms", "ge", "ours") in bold(best(of)) and ("ms", "ge", "source") not in bold(best(of))
    rows = {(row["setup"], row["target"], row["method"]): row for row in best_rows(best(of))}
    assert rows["ms", "canon", "ours"]["p_another_is_better"] < 0.001
    assert sum(rows["ms", "ge", method]["p_best"] for method in LEVELS) == pytest.approx(1)
    assert bold(best(Study(COLUMNS, ROWS[:1], of.cells, {}))) == set(), "where there is no choice"
    section = [replace(row, section="Bounds", bound=True) if row.method == "ours" else row for row in ROWS]
    without = Study(COLUMNS, section, of.cells, {})
    assert ("ms", "canon", "tl") in bold(best(without)) and not any(key[2] == "ours" for key in best(without))
    assert set(rankings(without)["ms"].mean_ranks) == {"source", "tl"}


@pytest.mark.slow
@pytest.mark.usefixtures("frozen_heap")
def test_the_best_that_is_picked_from_the_data_is_no_better_than_promised():
    """Eight methods that are alike: how often is the best of a column called better than any other?"""
    rows = [Row(f"m{n}", f"M{n}", False) for n in range(8)]
    called = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        subjects = rng.normal(60, 10, 12)
        cells = {
            ("mm", "ct", row.method): [
                {f"s{n}": Subject({"dice": v}, {}) for n, v in enumerate(subjects + rng.normal(0, 3, 12))}
            ]
            for row in rows
        }
        called += any(pair.significant for pair in compare_with_best(Study(COLUMNS[2:], rows, cells, {}), COLUMNS[2]))
    assert called / 150 < 0.10, "5 %, and three standard errors of a share of 150"


def test_subjects_of_a_setup_are_tested_and_ranked_together():
    ranks = rankings(study(6))
    assert ranks["ms"].n == 12 and ranks["mm"].n == 6
    assert ranks["ms"].mean_ranks["ours"] < ranks["ms"].mean_ranks["tl"] < ranks["ms"].mean_ranks["source"]
    assert len(comparisons(study(6))["ms"]) == 3


def test_fairness_names_the_worst_site():
    rows = {(row["setup"], row["method"]): row for row in site_rows(study(6))}
    assert rows["all", "source"]["worst_site"] == "mm/ct"
    assert rows["all", "ours"]["best_site"] == "mm/ct"
    own = rows["all", "source"]
    assert own["spread"] == pytest.approx(own["best"] - own["worst"])


def test_the_federation_is_compared_by_what_a_method_gains():
    rows = {(row["setup"], row["method"]): row for row in federation_rows(study(6), "source")}
    assert set(rows) == {("ms", method) for method in LEVELS}, "MM has no target outside"
    ours = rows["ms", "ours"]
    assert ours["gain_inside"] == pytest.approx(ours["inside"] - rows["ms", "source"]["inside"])
    assert rows["ms", "source"]["gain_outside"] == 0


def sentences(of: Study, phantom: bool = True) -> str:
    return "\n".join(conclude(of, comparisons(of), rankings(of), best(of), phantom))


def test_conclusions_say_what_holds_and_what_does_not():
    text = sentences(study(12))
    assert "MS, 24 subjects: Ours has the best mean rank" in text
    assert "MS Canon: Ours is best with probability 1.00." in text
    assert "1 of 9 cells are below 5 % Dice: Source only on MM CT." in text
    assert "One training seed" in text
    assert "says nothing about patients" in text
    assert "phantoms" not in sentences(study(12), phantom=False)


def test_conclusions_name_the_seeds():
    assert "Over 3 training seeds" in sentences(study(4, seeds=3))


def test_a_row_lies_between_what_is_easy_and_what_is_possible():
    of = study(6)
    low, high = of.methods[0], of.methods[-1]
    found = {(row["setup"], row["method"]): row for row in scaled_rows(of, low, high)}
    for setup in of.setups:
        assert (found[setup, low]["scaled"], found[setup, high]["scaled"]) == (0, 100)
        for method in of.methods:
            row = found[setup, method]
            least, most = (found[setup, name]["mean"] for name in (low, high))
            assert row["mean"] == pytest.approx(least + row["scaled"] / 100 * (most - least))
    assert all(math.isnan(row["scaled"]) for row in scaled_rows(of, low, low)), "nothing between the two"


def test_the_page_holds_all_of_it():
    of = study(6)
    page = to_page(
        of,
        {
            "metrics": list(metric_rows(of)),
            "sites": list(site_rows(of)),
            "federation": list(federation_rows(of, "source")),
            "scaled": list(scaled_rows(of, of.methods[0], of.methods[-1])),
        },
        rankings(of),
        ["A conclusion."],
        {"caption": "A caption.", "scale": (of.methods[0], of.methods[-1])},
    )
    parts = ("- A conclusion.", "## HD95 (mm)", "## Ranks", "## Fairness over sites", "## Inside and outside")
    for part in (*parts, "## Between what is easy and what is possible"):
        assert part in page
