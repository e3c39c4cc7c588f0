import hashlib
import json
import os

import pytest

from fedfactory.errors import FedFactoryError
from fedfactory.provenance.energy import EnergyMeter
from fedfactory.provenance.lineage import Run, inputs_of, read_record
from fedfactory.provenance.record import digests, joint_digest
from tests.provenance.conftest import CELL


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_job_records_what_it_made_and_how(cell):
    record = read_record(cell / "records/mm/ct/ours/seed0/model.json")
    assert record["made"] == f"{CELL}/model"
    # The store's files, one after the other; hidden ones are nobody's result.
    assert record["files"] == {"a.txt": sha("ix"), "inner.txt": sha("i"), "sub/b.txt": sha("b")}
    assert record["job"] == "train"
    assert "--given" in record["arguments"]
    assert record["configuration"] == ["a.yaml", "b.yaml"]
    assert record["device"] == {"name": "cpu"}
    assert record["energy_joules"]["gpu"] is None
    assert record["started"] <= record["finished"]
    assert record["seconds"] > 0 and record["cpu_seconds"] > 0 and record["peak_memory_mb"] > 5
    assert record["packages"]["numpy"]
    assert record["outputs"] == [f"{CELL}/model"]
    assert record["sources"] is None


def test_raw_files_are_counted_and_hashed_but_not_named(cell):
    record = read_record(cell / "records/mm/ct/data.json")
    assert record["sources"]["files"] == 1
    assert record["sources"]["bytes"] == len("voxels")
    assert "release" not in json.dumps(record["sources"])


def test_a_job_outside_of_results_leaves_no_record(project, job):
    job("train", "elsewhere/model")
    assert (project / "elsewhere/model/a.txt").exists()
    assert not list(project.rglob("records"))


def test_digest_of_many_files_names_none_and_sees_every_change(tmp_path):
    (tmp_path / "x").write_text("1")
    (tmp_path / "y").write_text("2")
    before = joint_digest(digests(tmp_path))
    assert digests(tmp_path) == {"x": sha("1"), "y": sha("2")}
    assert digests(tmp_path / "x") == {".": sha("1")}
    (tmp_path / "x").rename(tmp_path / "z")
    assert joint_digest(digests(tmp_path)) != before


def test_inputs_are_what_the_command_names():
    record = {
        "made": "results/run/mm/ct/ours/seed0/model",
        "outputs": ["results/run/mm/ct/ours/seed0/model", "results/run/mm/ct/ours/seed0/curves.png"],
        "arguments": [
            *(
                "--sites",
                '{"pet": {"data": "results/run/mm/pet/data"}}',
                "--factory",
                "results/run/mm/factory/seed0/model",
            ),
            *("--out", "results/run/mm/ct/ours/seed0/model", "--curves", "results/run/mm/ct/ours/seed0/curves.png"),
            *("--folder", "results/run/mm/ct/ours/seed0", "--log", "results/run/logs/adapt/mm/ct/0.log"),
            *("--raw", "data/ct", "--broken", "{results/run/mm/x"),
        ],
    }
    assert inputs_of(record) == ["results/run/mm/factory/seed0/model", "results/run/mm/pet/data"]


@pytest.mark.parametrize("text", ["{", '{"record": 0}', "[]", '{"record": 1}'])
def test_a_broken_record_is_named(tmp_path, text):
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(FedFactoryError, match=r"model\.json: is no record of a job .*make what it is about again"):
        read_record(tmp_path / "model.json")


def test_energy_is_read_where_the_hardware_tells(tmp_path):
    for number, (value, full) in enumerate([(900_000, 1_000_000), (0, 2_000_000)]):
        zone = tmp_path / f"intel-rapl:{number}"
        zone.mkdir()
        (zone / "energy_uj").write_text(str(value))
        (zone / "max_energy_range_uj").write_text(str(full))
    meter = EnergyMeter(gpu=False, rapl=tmp_path)
    # The first counter is full and starts anew: 0.2 J more; the second counts half a joule.
    (tmp_path / "intel-rapl:0/energy_uj").write_text("100000")
    (tmp_path / "intel-rapl:1/energy_uj").write_text("500000")
    assert meter.read(None) == {"processor": 0.7, "gpu": None}
    assert EnergyMeter(gpu=False, rapl=tmp_path / "none").read(None) == {"processor": None, "gpu": None}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_energy_that_nobody_may_read_is_not_measured(tmp_path):
    zone = tmp_path / "intel-rapl:0"
    zone.mkdir()
    (zone / "energy_uj").write_text("1")
    (zone / "max_energy_range_uj").write_text("2")
    (zone / "energy_uj").chmod(0)
    assert EnergyMeter(gpu=False, rapl=tmp_path).read(None)["processor"] is None


def test_lineage_goes_back_to_the_raw_data(cell):
    records = Run(cell).lineage(f"{CELL}/scores.csv")
    assert [record["job"] for record in records] == ["prepare", "train", "score"]
