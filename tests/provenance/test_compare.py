"""What two runs have in common is said file by file."""

import json

import pytest

from fedfactory.errors import FedFactoryError
from fedfactory.provenance.compare import compare
from fedfactory.provenance.record import digests, joint_digest


@pytest.fixture
def runs(tmp_path):
    """Two runs with the same results, at other times."""
    for name in ("a", "b"):
        cell = tmp_path / name / "mm/ct/ours/seed0"
        (cell / "model").mkdir(parents=True)
        (cell / "model/weights.pt").write_text("w")
        (cell / "scores.csv").write_text("s")
        (cell / ".scores.csv.record.json").write_text(f"made by {name}")
        (tmp_path / name / "logs").mkdir()
        (tmp_path / name / "logs/score.log").write_text(f"on {name}")
        outputs = {f"results/{name}/mm/ct/ours/seed0/{part}": joint_digest(digests(cell / part)) for part in PARTS}
        story = {"jobs": [{"outputs": outputs, "started": name}]}
        (cell / "cell.json").write_text(json.dumps(story))
    return tmp_path / "a", tmp_path / "b"


PARTS = ("model", "scores.csv")


def test_times_and_logs_are_no_results(runs):
    found = compare(*runs)
    assert found.equal
    assert found.same == 2
    assert found.report() == ["2 results have the same bytes, 0 differ or are missing"]


def test_other_bytes_and_missing_results_are_named(runs):
    first, second = runs
    (second / "mm/ct/ours/seed0/scores.csv").write_text("t")
    (first / "gap.csv").write_text("g")
    (second / "mm/ct/ours/seed0/model/more.pt").write_text("m")
    found = compare(first, second)
    assert not found.equal
    assert found.differing == ("mm/ct/ours/seed0/scores.csv",)
    assert found.first == ("gap.csv",)
    assert found.second == ("mm/ct/ours/seed0/model/more.pt",)


def test_a_published_story_is_compared_with_a_run_of_any_name(runs):
    first, second = runs
    story = first / "mm/ct/ours/seed0/cell.json"
    assert compare(story, second).same == 2
    assert compare(story, second / "mm/ct/ours/seed0/cell.json").equal
    (second / "mm/ct/ours/seed0/model/weights.pt").write_text("v")
    assert compare(story, second).differing == ("mm/ct/ours/seed0/model",)
    (second / "mm/ct/ours/seed0/scores.csv").unlink()
    assert compare(story, second).first == ("mm/ct/ours/seed0/scores.csv",)


def test_two_empty_folders_are_no_results(tmp_path):
    with pytest.raises(FedFactoryError, match="holds no results; give results/<run>"):
        compare(tmp_path, tmp_path)


@pytest.mark.parametrize("content", [None, "{", "[]", '{"jobs": [{}]}'])
def test_what_is_no_story_or_folder_is_named(tmp_path, content):
    story = tmp_path / "cell.json"
    if content:
        story.write_text(content)
    with pytest.raises(FedFactoryError, match=r"cell\.json: is no story of a cell"):
        compare(story, tmp_path)
    with pytest.raises(FedFactoryError, match="none: is no folder of results"):
        compare(tmp_path / "none", tmp_path)
