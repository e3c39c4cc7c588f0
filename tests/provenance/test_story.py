import json
import shutil

import pytest

from fedfactory.errors import FedFactoryError
from fedfactory.orchestration.progress import Progress
from fedfactory.provenance.explain import tell
from fedfactory.provenance.record import digests, joint_digest, read_record
from fedfactory.provenance.story import read_story
from fedfactory.provenance.verify import report, verify
from tests.provenance.conftest import CELL

SCORES = "mm/ct/ours/seed0/scores.csv"


def test_a_cell_knows_what_made_it(cell):
    story = read_story(cell / SCORES)
    assert story["cell"] == {"setup": "mm", "target": "ct", "method": "ours", "seed": 0}
    assert (
        story["command"]
        == f"snakemake --cores 1 --configfile a.yaml 'b, c.yaml' --config device=cpu -- {CELL}/scores.csv"
    )
    by_rule = {job["job"]: job for job in story["jobs"]}
    assert list(by_rule) == ["prepare", "train", "score"]
    data = joint_digest(digests(cell / "mm/ct/data"))
    assert by_rule["train"]["inputs"] == {"results/run/mm/ct/data": data} == by_rule["prepare"]["outputs"]
    assert by_rule["prepare"]["sources"]["files"] == 1
    assert all(len(job["code"]) == 16 for job in by_rule.values())


def test_costs_are_those_of_the_cell_and_of_all_that_it_rests_on(cell):
    story = read_story(cell / SCORES)
    seconds = {job["job"]: job["cpu_seconds"] for job in story["jobs"]}
    assert story["cost"]["own"]["jobs"] == 2
    assert story["cost"]["own"]["cpu_seconds"] == pytest.approx(seconds["train"] + seconds["score"], abs=0.11)
    assert story["cost"]["with_shared"]["cpu_seconds"] == pytest.approx(sum(seconds.values()), abs=0.11)
    assert story["cost"]["with_shared"]["peak_memory_mb"] == max(job["peak_memory_mb"] for job in story["jobs"])
    assert story["cost"]["own"]["gpu_seconds"] == 0


def test_bytes_that_crossed_borders_are_summed_from_the_ledgers(cell, job):
    job("train", f"{CELL}/model", {}, "--ledgers", '{"ct": 100, "pet": 23}')
    assert read_record(cell / "mm/ct/ours/seed0/model/.record.json")["bytes_exchanged"] == 246
    job("score", f"{CELL}/scores.csv", {"model": f"{CELL}/model"}, "--story", f"{CELL}/cell.json")
    assert read_story(cell / SCORES)["cost"]["own"]["bytes_exchanged"] == 246


def test_the_configuration_is_what_reached_the_jobs(cell, job):
    before = read_story(cell / SCORES)["configuration"]
    given = {"model": f"{CELL}/model/a.txt", "data": "results/run/mm/ct/data"}
    job("score", f"{CELL}/scores.csv", given, "--story", f"{CELL}/cell.json")
    assert read_story(cell / SCORES)["configuration"] == before
    job("train", f"{CELL}/model", {"data": "results/run/mm/ct/data"}, "--text", "other parameters")
    job("score", f"{CELL}/scores.csv", given, "--story", f"{CELL}/cell.json")
    assert read_story(cell / SCORES)["configuration"] != before


def test_the_story_in_words(cell):
    story = read_story(cell / SCORES)
    told = "\n".join(tell(story))
    parts = ("mm/ct, ours, seed 0", "1. prepare:", "3. score:", "read 1 raw files", "energy of the processor")
    for part in (*parts, story["command"], story["jobs"][1]["code"]):
        assert part in told


def test_a_cell_without_a_story(cell):
    with pytest.raises(FedFactoryError, match=r"cell.json is missing; make it with: snakemake --cores 1 "):
        read_story(cell / "mm/pet/ours/seed0/scores.csv")


def check(folder, partial: bool = False) -> tuple[bool, list[str]]:
    verdict = verify(folder, Progress("verify"))
    return verdict.sound(partial), report(verdict)


def test_an_untouched_folder_is_sound_wherever_it_lies(cell, tmp_path):
    assert check(cell) == (True, ["8 files are as their jobs wrote them"])
    published = tmp_path / "published"
    shutil.move(cell, published)
    assert check(published)[0]


@pytest.mark.attack("a result or a record changed, added or taken away", "named by verify")
def test_every_change_is_found(cell):
    file = cell / "mm/ct/ours/seed0/model/sub/b.txt"
    file.write_text("B")
    assert check(cell)[1][0] == "mm/ct/ours/seed0/model/sub/b.txt: is not what was recorded"
    file.unlink()
    assert check(cell)[1][0] == "mm/ct/ours/seed0/model/sub/b.txt: is missing"
    file.write_text("b")
    (cell / "mm/ct/ours/seed0/model/extra.txt").write_text("x")
    assert check(cell)[1][0] == "mm/ct/ours/seed0/model/extra.txt: was made by no recorded job"
    (cell / "mm/ct/ours/seed0/model/extra.txt").unlink()
    (cell / SCORES).unlink()
    sound, lines = check(cell)
    assert (sound, lines[0]) == (False, f"{SCORES}: is missing")


def test_a_result_of_another_model_than_the_one_beside_it_is_found(cell, job):
    job("train", f"{CELL}/model", {"data": "results/run/mm/ct/data"}, "--text", "another training")
    sound, lines = check(cell)
    assert not sound
    assert f"{SCORES}: was made from another mm/ct/ours/seed0/model/a.txt than lies there now" in lines


def test_what_was_left_out_has_to_be_meant(cell):
    shutil.rmtree(cell / "mm/ct/data")
    sound, lines = check(cell)
    assert not sound
    assert lines[0].startswith("mm/ct/data: is not here, and results were made from it (--partial")
    assert check(cell, partial=True)[0]


@pytest.mark.attack("a record that names a file outside of its folder", "refused")
def test_a_record_cannot_lead_out_of_the_folder(cell):
    file = cell / "mm/ct/ours/seed0/model/.record.json"
    record = json.loads(file.read_text())
    for change in ({"files": {"../../../../../../etc/passwd": "0"}}, {"inputs": {"results/run/../../x": "0"}}):
        file.write_text(json.dumps(record | change))
        with pytest.raises(FedFactoryError, match="leaves its folder"):
            verify(cell, Progress("verify"))


def test_a_folder_without_records(tmp_path):
    with pytest.raises(FedFactoryError, match="nothing in it has a record of a job"):
        verify(tmp_path, Progress("verify"))
