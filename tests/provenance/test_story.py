import json

import pytest

from fedfactory.errors import FedFactoryError
from fedfactory.progress import Progress
from fedfactory.provenance.lineage import Run, story_of
from fedfactory.provenance.record import digests, joint_digest
from fedfactory.provenance.tell import read_story, tell
from fedfactory.provenance.verify import report, verify
from tests.provenance.conftest import CELL


@pytest.fixture
def story(cell):
    return story_of(Run(cell), f"{CELL}/scores.csv")


def test_a_cell_knows_what_made_it(story, cell):
    assert story["cell"] == {"setup": "mm", "target": "ct", "method": "ours", "seed": 0}
    assert story["command"] == f"snakemake --cores 1 --configfile a.yaml b.yaml -- {CELL}/scores.csv"
    assert story["code"] == {rule: f"digest of {rule}" for rule in ("prepare", "train", "score")}
    by_rule = {job["job"]: job for job in story["jobs"]}
    data = joint_digest(digests(cell / "mm/ct/data"))
    assert by_rule["train"]["inputs"] == {"results/run/mm/ct/data": data} == by_rule["prepare"]["outputs"]
    # A file in a folder that another job made.
    assert by_rule["score"]["inputs"][f"{CELL}/model/a.txt"] == digests(cell / "mm/ct/ours/seed0/model")["a.txt"]
    assert by_rule["prepare"]["sources"]["files"] == 1


def test_costs_are_those_of_the_cell_and_of_all_that_it_rests_on(story, cell):
    assert story["cost"]["own"]["jobs"] == 2
    assert story["cost"]["own"]["seconds"] == 4.0
    assert story["cost"]["with_shared"]["cpu_seconds"] == 4.5
    # The larger of what Snakemake and the job itself saw.
    peaks = [record["peak_memory_mb"] for record in Run(cell).records()]
    assert story["cost"]["with_shared"]["peak_memory_mb"] == max(100.0, *peaks)
    assert story["cost"]["own"]["gpu_seconds"] == 0
    assert story["cost"]["own"]["bytes_exchanged"] == 0


def test_bytes_that_crossed_borders_are_summed_from_the_ledgers(cell, job):
    model = cell / "mm/ct/ours/seed0/model"
    record = json.loads((cell / "records/mm/ct/ours/seed0/model.json").read_text())
    for site, size in (("ct", 100), ("pet", 23)):
        (model / f"sites/{site}").mkdir(parents=True)
        (model / f"sites/{site}/ledger.csv").write_text(f"round,bytes\n0,{size}\n1,{size}\n")
    record["files"] = digests(model)
    (cell / "records/mm/ct/ours/seed0/model.json").write_text(json.dumps(record))
    assert story_of(Run(cell), f"{CELL}/scores.csv")["cost"]["own"]["bytes_exchanged"] == 246


def test_the_configuration_is_what_reached_the_jobs(story, cell, job):
    job("train", f"{CELL}/model", {"data": "results/run/mm/ct/data"}, "--text", "other parameters")
    assert story_of(Run(cell), f"{CELL}/scores.csv")["configuration"] != story["configuration"]


def test_what_came_from_elsewhere_is_said(cell, job):
    (cell / "mm/shared").mkdir(parents=True)
    (cell / "mm/shared/file").write_text("x")
    job("train", f"{CELL}/model", {"shared": "results/run/mm/shared"})
    told = tell({**story_of(Run(cell), f"{CELL}/scores.csv")})
    assert any("results/run/mm/shared (made elsewhere: no record here)" in line for line in told)


def test_the_story_in_words(story, cell):
    (cell / "mm/ct/ours/seed0/cell.json").write_text(json.dumps(story))
    told = "\n".join(tell(read_story(cell / "mm/ct/ours/seed0/scores.csv")))
    for part in (
        "mm/ct, ours, seed 0",
        "1. prepare:",
        "3. score:",
        "digest of train",
        "energy of the processor",
        story["command"],
    ):
        assert part in told


def test_a_cell_without_a_story(cell):
    with pytest.raises(FedFactoryError, match=r"cell.json is missing; make it with: snakemake --cores 1 "):
        read_story(cell / "mm/ct/ours/seed0/scores.csv")
    with pytest.raises(FedFactoryError, match="there is no record of it"):
        story_of(Run(cell), "results/run/mm/pet/ours/seed0/scores.csv")


def check(folder):
    verdict = verify(folder, Progress("verify"))
    return verdict.sound, report(verdict)


def test_an_untouched_folder_is_sound_wherever_it_lies(cell, tmp_path):
    sound, lines = check(cell)
    assert sound
    assert lines == ["7 files are as their jobs wrote them"]
    published = tmp_path / "published"
    cell.rename(published)
    assert check(published)[0]


def test_every_change_is_found(cell):
    file = cell / "mm/ct/ours/seed0/model/sub/b.txt"
    file.write_text("B")
    assert check(cell)[1][0] == "mm/ct/ours/seed0/model/sub/b.txt: is not what was recorded"
    file.unlink()
    assert check(cell)[1][0] == "mm/ct/ours/seed0/model/sub/b.txt: is missing"
    file.write_text("b")
    (cell / "mm/ct/ours/seed0/model/extra.txt").write_text("x")
    sound, lines = check(cell)
    assert (sound, lines[0]) == (False, "mm/ct/ours/seed0/model/extra.txt: was made by no recorded job")


def test_what_was_not_published_is_said_and_no_fault(cell):
    for path in sorted((cell / "mm/ct/data").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (cell / "mm/ct/data").rmdir()
    sound, lines = check(cell)
    assert sound
    assert lines[0] == "not here, so not checked: mm/ct/data"


def test_a_folder_without_records(tmp_path):
    with pytest.raises(FedFactoryError, match="has no folder 'records'"):
        verify(tmp_path, Progress("verify"))
