"""Runs that are merged into one table, and runs that are refused: other code, parameters or data, and tampering."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.project_copy import copy_project
from benchmarks.published import keep, merge_parts
from fedfactory.config.files import read_run
from fedfactory.errors import FedFactoryError
from fedfactory.evaluation import finished_run
from fedfactory.evaluation.merge import deviations, merge, write_merged
from fedfactory.provenance.record import digests
from fedfactory.provenance.verify import Verdict
from tests.conftest import ROOT
from tests.workflow.conftest import Project, edit

pytestmark = pytest.mark.workflow

ROWS = ("nnunet", "nnunet_tl", "mean_mask")
CELL = "mo/swi/nnunet_tl/seed0"
# The row of another group.
THEIRS = "their_mask"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of two runs that differ in the seed of their phantoms, and of a third one that has a row of its own."""
    project = Project(tmp_path_factory.mktemp("merge") / "project")
    copy_project(project.folder)
    whole = read_run([ROOT / "config/test.yaml"], ROOT)
    methods = {row: whole["methods"][row] for row in ROWS}
    theirs = {"nnunet": methods["nnunet"], THEIRS: methods["mean_mask"] | {"label": "Theirs"}}
    for name, seed, own in (("first", 0, methods), ("second", 1, methods), ("theirs", 0, theirs)):
        values = whole | {
            "run": name,
            "data": whole["data"] | {"seed": seed},
            "setups": ["config/setups/mo.yaml"],
            "nsd_tolerance_mm": {"mo": 3.2},
            "methods": own,
            "factory": None,
            "scale": None,
            "pictures": False,
            "slices": False,
        }
        (project.folder / f"{name}.yaml").write_text(yaml.safe_dump(values))
        project.snakemake("--configfile", f"{name}.yaml")
    return project.folder / "results"


@pytest.fixture
def own(runs: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A copy of both, to tamper with."""
    for name in ("first", "second"):
        shutil.copytree(runs / name, tmp_path / name)
    return tmp_path / "first", tmp_path / "second"


def test_two_phantoms_make_one_table(own: tuple[Path, Path], tmp_path: Path):
    first, second = own
    written = write_merged(own, ROOT, tmp_path / "merged")
    assert written == [f"{tmp_path}/merged/table1.md", f"{tmp_path}/merged/table1_strict.md"]
    with (tmp_path / "merged/table1.csv").open() as file:
        rows = {(row["target"], row["method"]): row for row in csv.DictReader(file)}
    for target, method in rows:
        alone = [list(scores(run, target, method)) for run in own]
        assert int(rows[target, method]["n"]) == len(alone[0]) + len(alone[1]), "subjects of both phantoms"
        mean = 100 * sum(map(sum, alone)) / sum(map(len, alone))
        assert float(rows[target, method]["dice_mean"]) == pytest.approx(mean, abs=1e-3)
    spec, study, _ = merge([first, second], "table1_strict", tmp_path / "again")
    assert [row.method for row in study.rows] == ["nnunet", "nnunet_tl_strict", "mean_mask"] and spec["seeds"] == [0]
    parts = {(row["target"], row["method"]): row for row in deviations(study)}
    assert {row["phantoms"] for row in parts.values()} == {2} and parts["swi", "mean_mask"]["over_phantoms"] > 0
    with pytest.raises(FedFactoryError, match="merged is there; give a new folder"):
        write_merged(own, ROOT, tmp_path / "merged")


def test_what_is_kept_of_a_run_is_merged_as_the_run_is(own: tuple[Path, Path], tmp_path: Path):
    parts = [keep(run, tmp_path / "parts") for run in own]
    assert [part.name for part in parts] == ["first_seed0.tar.xz", "second_seed0.tar.xz"]
    before = parts[0].read_bytes()
    assert keep(own[0], tmp_path / "parts").read_bytes() == before
    merge_parts(tmp_path / "parts", tmp_path / "of_parts")
    write_merged(own, ROOT, tmp_path / "of_runs")
    for table in ("table1.csv", "table1_strict.csv", "table1_deviations.csv", "table1_analysis/best.csv"):
        assert (tmp_path / "of_parts" / table).read_bytes() == (tmp_path / "of_runs" / table).read_bytes()


def scores(run: Path, target: str, method: str) -> list[float]:
    with (run / f"mo/{target}/{method}/seed0/scores.csv").open() as file:
        return [float(row["dice"]) for row in csv.DictReader(file)]


def records(run: Path) -> list[Path]:
    """Records and stories of a run."""
    return [*run.rglob("*.record.json"), *run.rglob("cell.json")]


def everywhere(old: str, new: str) -> Callable[[Path], None]:
    """Change a text in all that a run says of itself."""

    def change(run: Path) -> None:
        for file in records(run):
            file.write_text(file.read_text().replace(old, new))

    return change


def code_of(run: Path) -> str:
    return json.loads((run / CELL / ".scores.csv.record.json").read_text())["code"]


def replaced(file: str, old: str, new: str) -> Callable[[Path], None]:
    return lambda run: edit(run / file, old, new)


def swapped_predictions(run: Path) -> None:
    """Predictions of the target's other row in the place of the cell's own."""
    shutil.rmtree(run / CELL / "predictions")
    shutil.copytree(run / "mo/swi/mean_mask/seed0/predictions", run / CELL / "predictions")


def fewer_labels_claimed(run: Path) -> None:
    """The job that scores says that M_t had no part; that which trained says that it had."""

    def claim(entry: dict[str, Any]) -> None:
        place = entry["arguments"].index("--labels") + 1
        entry["arguments"][place] = json.dumps({"few_shot": 0, "validation": False, "training": False})

    record, story = run / CELL / ".scores.csv.record.json", run / CELL / "cell.json"
    told, jobs = json.loads(record.read_text()), json.loads(story.read_text())
    for entry in (told, *(job for job in jobs["jobs"] if job["job"] == "score")):
        claim(entry)
    record.write_text(json.dumps(told))
    story.write_text(json.dumps(jobs))


def scores_of_another_cell(run: Path) -> None:
    for name in ("scores.csv", ".scores.csv.record.json", "cell.json"):
        shutil.copy(run / "mo/swi/mean_mask/seed0" / name, run / CELL / name)


def linked_away(run: Path) -> None:
    """Forged where nobody would look: behind a link."""
    shutil.move(run / "mo/swi/nnunet_tl", run.parent / "elsewhere")
    (run / "mo/swi/nnunet_tl").symlink_to(run.parent / "elsewhere")
    edit(run / CELL / "scores.csv", "found", "miss")


def predictions_and_their_names(run: Path) -> None:
    """Another row's predictions, with the digests of their files but not the one that stands for all."""
    record = run / CELL / "predictions/.record.json"
    told = json.loads(record.read_text())
    swapped_predictions(run)
    told["files"] = digests(run / CELL / "predictions")
    record.write_text(json.dumps(told))


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (replaced(f"{CELL}/scores.csv", "found", "miss"), "scores.csv: is not what was recorded"),
        (swapped_predictions, "was made from another mo/swi/nnunet_tl/seed0/predictions than lies there now"),
        (lambda run: (run / CELL / "scores.csv").unlink(), "scores.csv: is missing"),
        (lambda run: (run / CELL / "extra.csv").write_text("x"), "extra.csv: was made by no recorded job"),
        (lambda run: shutil.rmtree(run / "mo/swi/nnunet_tl"), "nnunet_tl"),
        (scores_of_another_cell, f"{CELL}/cell.json: is not what was recorded"),
        (replaced(f"{CELL}/cell.json", '"portable": true', '"portable": false'), "cell.json: is not what was recorded"),
        (replaced("mo/swi/data/index.csv", ",train,", ",test,"), "index.csv: is not what was recorded"),
        (lambda run: (run / ".table1.csv.record.json").unlink(), "table1.csv"),
        (everywhere('tolerance\\": 3.2', 'tolerance\\": 99.0'), "cell.json: is not what was recorded"),
        (linked_away, f"{CELL}/scores.csv: is not what was recorded"),
        (predictions_and_their_names, "its digest is not that of the files it names"),
    ],
)
@pytest.mark.attack("a third party's cells, tampered with in ten ways", "refused")
def test_what_was_tampered_with_is_refused(own: tuple[Path, Path], tmp_path: Path, tamper, message: str):
    first, second = own
    tamper(second)
    with pytest.raises(FedFactoryError, match=message):
        merge([first, second], "table1", tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda run: everywhere('tolerance\\": 3.2', 'tolerance\\": 99.0')(run), "had other parameters than in .*99.0"),
        (lambda run: everywhere(code_of(run), "0123456789abcdef")(run), "ran other code .* make both at one commit"),
        (replaced(f"{CELL}/scores.csv", ",swi,", ",octa,"), "scores.csv holds a row of another cell"),
        (scores_of_another_cell, "its record is that of another cell"),
        (replaced(f"{CELL}/cell.json", "nnunet_finetune", "nnunet_train"), "is not the story of its records"),
        (fewer_labels_claimed, "counts other labels .*none.* than its job 'nnunet_finetune' saw .M_t"),
        (replaced(f"{CELL}/scores.csv", "found,0.", "found,0.9"), "has other figures than its predictions have"),
    ],
)
def test_runs_that_do_not_belong_together_are_refused(
    own: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change, message: str
):
    """Runs that are whole: what a job of other code or parameters would have left."""
    first, second = own
    change(second)
    monkeypatch.setattr(finished_run, "verify", lambda folder, progress: Verdict())
    with pytest.raises(FedFactoryError, match=message):
        merge([first, second], "table1", tmp_path / "out")


def test_cells_without_predictions_are_believed_and_named(own: tuple[Path, Path], tmp_path: Path):
    first, second = own
    for folder in second.rglob("predictions"):
        shutil.rmtree(folder)
    spec, *_ = merge([first, second], "table1", tmp_path / "out")
    assert "Cells that were not scored again, as their predictions are not there: 9 of second." in spec["caption"]


def test_no_validation_volume_chooses_in_the_strict_table(own: tuple[Path, Path], tmp_path: Path, monkeypatch):
    """A row of the paper's protocol, which the strict table of a run claims to have."""
    for run in own:
        shutil.copy(run / ".table1.csv.record.json", run / ".table1_strict.csv.record.json")
    monkeypatch.setattr(finished_run, "verify", lambda folder, progress: Verdict())
    with pytest.raises(FedFactoryError, match="which the strict protocol does not allow"):
        merge(own, "table1_strict", tmp_path / "out")


def test_the_same_cells_twice_are_refused(own: tuple[Path, Path], tmp_path: Path):
    first, _ = own
    shutil.copytree(first, tmp_path / "again")
    with pytest.raises(FedFactoryError, match="again: every cell is the same cell, seed and data as one"):
        merge([first, tmp_path / "again"], "table1", tmp_path / "out")


def test_a_row_of_another_group_joins_after_it_is_scored_again(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its run also holds the row of the gap between sites, which is the same here and counts once."""
    _, study, _ = merge([runs / "first", runs / "theirs"], "table1", tmp_path / "out")
    assert [row.method for row in study.rows] == [*ROWS, THEIRS]
    same = {name: scores(runs / run, "swi", name) for run, name in (("first", "mean_mask"), ("theirs", THEIRS))}
    assert same["mean_mask"] == same[THEIRS]
    # Forged so that its own records agree with it.
    shutil.copytree(runs / "theirs", tmp_path / "theirs")
    edit(tmp_path / f"theirs/mo/swi/{THEIRS}/seed0/scores.csv", "0.", "0.9")
    monkeypatch.setattr(finished_run, "verify", lambda folder, progress: Verdict())
    with pytest.raises(FedFactoryError, match="has other figures than its predictions have on .*first/mo/swi/truth"):
        merge([runs / "first", tmp_path / "theirs"], "table1", tmp_path / "forged")


def test_the_same_cell_with_other_figures_is_refused(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shutil.copytree(runs / "theirs", tmp_path / "theirs")
    shutil.rmtree(tmp_path / "theirs/mo/swi/nnunet/seed0/predictions")
    edit(tmp_path / "theirs/mo/swi/nnunet/seed0/scores.csv", ",nnunet,0,", ",nnunet,0,1")
    monkeypatch.setattr(finished_run, "verify", lambda folder, progress: Verdict())
    with pytest.raises(FedFactoryError, match="has other figures than .*, the same cell, seed and data"):
        merge([runs / "first", tmp_path / "theirs"], "table1", tmp_path / "out")
