"""The paper's claims, recomputed from its own table, and a table beside it."""

import math

import pytest

from fedfactory.evaluation.paper import (
    beside,
    best_of_paper,
    claims,
    order_agreement,
    read_paper,
    read_test_subjects,
    repeated,
    to_page,
)
from fedfactory.evaluation.subjects import Subject
from fedfactory.evaluation.table import Column, Row
from fedfactory.evaluation.table_cells import Study
from tests.conftest import ROOT

PAPER = read_paper(ROOT / "config/table1_paper.csv")
BEST = best_of_paper(PAPER, read_test_subjects(ROOT / "config/table1_paper_subjects.csv"))
TARGETS = list(dict.fromkeys((setup, target) for setup, target, _ in PAPER))
METHODS = list(dict.fromkeys(method for _, _, method in PAPER))


def study_of(means) -> Study:
    """A study whose subjects scatter by two points around the means."""
    columns = [Column(setup, target, setup.upper(), target, True) for setup, target in TARGETS]
    rows = [Row(method, method, False) for method in METHODS]
    cells = {
        key: [{name: Subject({"dice": mean + shift}, {}) for name, shift in (("a", -2.0), ("b", 0.0), ("c", 2.0))}]
        for key, mean in means.items()
    }
    return Study(columns, rows, cells, {})


def test_section_4_3_holds_for_the_papers_own_table():
    """The text's figures: 55.7±34.6, 36.5±29.4, 21.5±26.1; half of MO fails; six of nine; never below 60."""
    found = claims({key: mean for key, (mean, _) in PAPER.items()})
    text = {setup: tuple(round(value, 1) for value in pair) for setup, pair in found.averages.items()}
    assert text == {"ms": (55.7, 34.6), "mm": (36.5, 29.4), "mo": (21.5, 26.1)}
    assert found.failures["mo"] == (12, 24)
    assert (found.wins, found.targets) == (6, 9)
    assert found.minimum > 60


def test_the_repeated_cells_are_found():
    assert repeated(PAPER) == [("ms", "siemens", "feddg", "universeg"), ("ms", "ge", "feddg", "universeg")]


def test_a_copy_of_the_paper_agrees_with_it():
    study = study_of({key: mean for key, (mean, _) in PAPER.items()})
    rows = beside(study, PAPER, phantom=False)
    assert len(rows) == 81
    assert all(abs(row["difference"]) < 1e-9 and row["within"] == 1 for row in rows)
    assert all(tau == pytest.approx(1) and count == 9 for tau, count in order_agreement(rows).values())
    page = to_page(study, PAPER, BEST, rows, phantom=False)
    assert "| mean over the cells of MS without Ours | 55.7±34.6 | 55.7±34.6 |" in page
    assert "MS siemens (feddg and universeg), MS ge (feddg and universeg)" in page
    assert "the means become MS 53.2±35.1" in page


def test_what_is_too_far_away_is_marked_but_not_on_phantoms():
    means = {key: mean for key, (mean, _) in PAPER.items()}
    key = ("mm", "ct", "ours")
    deviation = PAPER[key][1]
    # Three subjects in both tables: four degrees of freedom, of which 2.776 standard errors hold 95 %.
    limit = 2.776 * math.sqrt((2.0**2 + deviation**2) / 3)
    for shift, expected in ((0.99 * limit, 1), (1.01 * limit, 0)):
        (row,) = [
            row
            for row in beside(study_of({**means, key: means[key] - shift}), PAPER, phantom=False)
            if (row["setup"], row["target"], row["method"]) == key
        ]
        assert row["within"] == expected
    rows = beside(study_of({**means, key: 0.0}), PAPER, phantom=True)
    assert {row["within"] for row in rows} == {""}
    page = to_page(study_of(means), PAPER, BEST, rows, phantom=True)
    assert "Phantoms are no patients" in page and "(+" not in page


def test_a_reversed_order_is_said_to_be():
    study = study_of({key: 100 - mean for key, (mean, _) in PAPER.items()})
    agreement = order_agreement(beside(study, PAPER, phantom=True))
    assert all(tau == pytest.approx(-1) for tau, _ in agreement.values())


def test_other_setups_have_nothing_beside_them():
    study = study_of({("own", "site", "nnunet"): 50.0})
    assert beside(study, PAPER, phantom=False) == []


def test_how_sure_the_papers_bold_cells_are():
    """Of the five on which Ours is best and whose test cases can be counted, two miss 5 %."""
    rows = {row["target"]: row for row in BEST}
    assert [(row["setup"], row["target"]) for row in BEST] == TARGETS
    ours = {target: row for target, row in rows.items() if row["best"] == "ours"}
    assert [target for target, row in ours.items() if row["holds"] == 0] == ["siemens", "pet"]
    assert [target for target, row in ours.items() if row["holds"] == 1] == ["ct", "t2w", "octa"]
    assert rows["siemens"]["p_rival_is_better"] == pytest.approx(0.40, abs=0.005)
    assert rows["swi"]["holds"] == rows["ixi"]["holds"] == ""
    study = study_of({key: mean for key, (mean, _) in PAPER.items()})
    text = to_page(study, PAPER, BEST, beside(study, PAPER, phantom=True), True)
    assert "3 of 7 bold cells that can be tested hold at 5 %" in text and text.count("not testable") == 2
