import math

import pytest

from fedfactory.errors import FedFactoryError
from fedfactory.evaluation.subjects import over_seeds, read_subjects


def scores(path, rows):
    """Rows (subject, case, class, outcome, dice, HD95, NSD, volume error)."""
    head = "setup,target,method,seed,subject,case,class,outcome,dice,hd95_mm,nsd,volume_error,truth_ml,predicted_ml"
    lines = [f"{head},dice_inside,slices_beyond,mm_beyond", *(f"ms,ge,m,0,{row},1,1,,," for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_classes_then_cases_then_subjects(tmp_path):
    """A class that is not there in one case must not change the weight of that case in its subject."""
    rows = [
        "a,a_ED,LV,found,0.8,2,0.5,-0.2",
        "a,a_ED,RV,found,0.4,4,0.7,0.4",
        "a,a_ES,LV,found,1.0,0,1.0,0",
        "a,a_ES,RV,absent,,,,",
        "b,b_ED,LV,miss,0,100,0,-1",
        "b,b_ED,RV,false_alarm,0,100,0,",
    ]
    found = read_subjects(scores(tmp_path / "s.csv", rows))
    assert found["a"].figures == pytest.approx({"dice": 80.0, "hd95_mm": 1.5, "nsd": 80.0, "volume_error": 15.0})
    assert found["b"].figures == pytest.approx({"dice": 0.0, "hd95_mm": 100.0, "nsd": 0.0, "volume_error": 100.0})
    assert found["a"].outcomes == {"found": 3, "miss": 0, "false_alarm": 0}
    assert found["b"].outcomes == {"found": 0, "miss": 1, "false_alarm": 1}


def test_failing_never_improves_a_mean(tmp_path):
    """A method that predicts nothing in its worst case is no better off in any metric."""
    good = "a,a_1,LV,found,0.9,1,0.9,0.1"
    poor = read_subjects(scores(tmp_path / "p.csv", [good, "a,a_2,LV,found,0.1,80,0.1,1.8"]))["a"]
    nothing = read_subjects(scores(tmp_path / "n.csv", [good, "a,a_2,LV,miss,0,100,0,-2"]))["a"]
    for metric, better in (("dice", 1), ("nsd", 1), ("hd95_mm", -1), ("volume_error", -1)):
        assert better * nothing.figures[metric] < better * poor.figures[metric], metric


def test_seeds_are_averaged_within_subjects(tmp_path):
    seeds = [
        read_subjects(scores(tmp_path / f"{dice}.csv", [f"b,b,LV,found,{dice},1,1,0", "a,a,LV,found,0.5,1,1,0"]))
        for dice in (0.2, 0.4)
    ]
    assert over_seeds(seeds, "dice") == pytest.approx({"a": 50.0, "b": 30.0})
    assert list(over_seeds(seeds, "dice")) == ["a", "b"]


def test_case_without_any_value(tmp_path):
    with pytest.raises(FedFactoryError, match="case a_ED has no Dice value"):
        read_subjects(scores(tmp_path / "s.csv", ["a,a_ED,LV,absent,,,,"]))


def test_scores_of_an_older_version(tmp_path):
    (tmp_path / "s.csv").write_text("subject,case,class,dice\na,a,LV,0.5\n")
    with pytest.raises(FedFactoryError, match="has no column 'dice_inside'; score the cell again: snakemake -f"):
        read_subjects(tmp_path / "s.csv")


def test_a_figure_that_nobody_knows_is_left_out(tmp_path):
    found = read_subjects(scores(tmp_path / "s.csv", ["a,a,LV,false_alarm,0,100,0,"]))
    assert math.isnan(found["a"].figures["volume_error"])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a,a,LV,found,1.2,1,1,0"], "case a has '1.2' as dice"),
        (["a,a,LV,found,-0.1,1,1,0"], "case a has '-0.1' as dice"),
        (["a,a,LV,found,nan,1,1,0"], "case a has 'nan' as dice"),
        (["a,a,LV,found,0.5,inf,1,0"], "case a has 'inf' as hd95_mm"),
        (["a,a,LV,found,0.5,1,x,0"], "case a has 'x' as nsd"),
        (["a,a,LV,found,0.5,1,1,0"] * 2, "has class LV of case a twice"),
    ],
)
def test_figures_that_are_none(tmp_path, rows, message):
    with pytest.raises(FedFactoryError, match=message):
        read_subjects(scores(tmp_path / "s.csv", rows))
