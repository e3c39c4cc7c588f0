import hashlib
import json
import multiprocessing
import sys
import time

import pytest

from fedfactory.errors import FedFactoryError
from fedfactory.provenance import energy
from fedfactory.provenance.energy import EnergyMeter
from fedfactory.provenance.memory import MemoryMeter
from fedfactory.provenance.record import cpu_seconds, digests, digests_apart, joint_digest, read_record
from tests.provenance.conftest import CELL


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_job_records_what_it_made_and_how(cell):
    record = read_record(cell / "mm/ct/ours/seed0/model/.record.json")
    assert record["made"] == f"{CELL}/model"
    # The store's files, one after the other; hidden ones are nobody's result.
    assert record["files"] == {
        "a.txt": record["files"]["a.txt"],
        "inner.txt": sha("i"),
        "sub/b.txt": sha("b"),
    }
    assert record["sha256"] == joint_digest(digests(cell / "mm/ct/ours/seed0/model"))
    assert record["job"] == "train"
    assert "--given" in record["arguments"]
    assert record["options"] == ["--configfile", "a.yaml", "b, c.yaml", "--config", "device=cpu"]
    assert len(record["code"]) == 16
    assert record["device"] == {"name": "cpu"}
    assert record["energy_joules"]["gpu"] is None
    assert record["started"] <= record["finished"]
    assert record["seconds"] > 0 and record["cpu_seconds"] > 0 and record["peak_memory_mb"] > 5
    assert record["packages"]["numpy"]
    assert record["sources"] is None


def test_a_result_is_bound_to_what_it_was_made_from(cell):
    data = read_record(cell / "mm/ct/data/.record.json")
    model = read_record(cell / "mm/ct/ours/seed0/model/.record.json")
    assert model["inputs"] == {"results/run/mm/ct/data": data["sha256"]}
    assert [entry["made"] for entry in model["behind"]] == ["results/run/mm/ct/data"]
    scores = read_record(cell / "mm/ct/ours/seed0/.scores.csv.record.json")
    # A file in a folder that another job made.
    assert scores["inputs"][f"{CELL}/model/a.txt"] == model["files"]["a.txt"]
    assert [entry["job"] for entry in scores["behind"]] == ["prepare", "train"]


def test_what_lies_behind_travels_without_names_of_files(cell):
    scores = read_record(cell / "mm/ct/ours/seed0/.scores.csv.record.json")
    assert all("files" not in entry and "behind" not in entry for entry in scores["behind"])
    assert "inner.txt" not in json.dumps(scores["behind"])


def test_raw_files_are_counted_and_hashed_but_not_named(cell):
    record = read_record(cell / "mm/ct/data/.record.json")
    assert record["sources"] == {"files": 1, "bytes": 6, "sha256": record["sources"]["sha256"]}
    assert "release" not in json.dumps(record["sources"])


def test_a_shared_folder_takes_its_story_with_it(cell, project, job):
    """A hospital that got a model, and nothing of what it was made from."""
    (cell / "mm/ct/data").rename(project / "gone")
    own = "results/run/mm/pet/ours/seed0"
    job("score", f"{own}/scores.csv", {"model": f"{CELL}/model"}, "--story", f"{own}/cell.json")
    record = read_record(cell / "mm/pet/ours/seed0/.scores.csv.record.json")
    assert [entry["job"] for entry in record["behind"]] == ["prepare", "train"]


def test_a_job_outside_of_results_leaves_no_record(project, job):
    job("train", "elsewhere/model")
    assert (project / "elsewhere/model/a.txt").exists()
    assert not list(project.rglob("*.record.json"))


def test_a_local_copy_of_a_storage_plugin_is_called_as_the_workflow_calls_it(project, job):
    own = f".snakemake/storage/fs/results/store/{CELL}"
    job("train", f"{own}/model")
    job("score", f"{own}/scores.csv", {"model": f"{own}/model"}, "--story", f"{own}/cell.json")
    record = read_record(project / own / ".scores.csv.record.json")
    assert record["made"] == f"{CELL}/scores.csv" and list(record["inputs"]) == [f"{CELL}/model"]
    story = json.loads((project / own / "cell.json").read_text())
    assert [list(job["outputs"]) for job in story["jobs"]] == [[f"{CELL}/model"], [f"{CELL}/scores.csv"]]
    assert f"{CELL}/scores.csv" in record["arguments"]


SWAPPED = {
    "changed": (lambda model: (model / "a.txt").write_text("the truth"), "a.txt: was changed since its job wrote it"),
    "gone": (lambda model: (model / "sub/b.txt").unlink(), "sub/b.txt: is gone since its job wrote it"),
    "added": (lambda model: (model / "extra.txt").write_text("x"), "extra.txt: was added since its job wrote it"),
}


@pytest.mark.parametrize("given", [f"{CELL}/model", f"{CELL}/model/sub", f"{CELL}/model/a.txt"])
@pytest.mark.parametrize("kind", SWAPPED)
@pytest.mark.attack(
    "predictions or models swapped before the next job, also behind links",
    "the job stops before it works",
)
def test_a_job_reads_nothing_that_is_not_as_its_own_job_wrote_it(cell, project, job, capfd, kind, given):
    """Predictions swapped for the truth, scored, and swapped back would otherwise be a Dice of 1 without a trace."""
    swap, message = SWAPPED[kind]
    swap(cell / "mm/ct/ours/seed0/model")
    named = message.partition(":")[0]
    touched = given.endswith("model") or given.endswith(named) or named.startswith(given.rpartition("/")[2] + "/")
    target = "results/run/mm/pet/sam/seed0/scores.csv"
    story = ("--story", "results/run/mm/pet/sam/seed0/cell.json")
    if not touched:
        job("score", target, {"model": given}, *story)
        return
    with pytest.raises(Exception, match="returned non-zero exit status 1"):
        job("score", target, {"model": given}, *story)
    assert message in capfd.readouterr().err and not (project / target).exists()
    # What a job makes may lie there in any state: it is no input.
    job("train", f"{CELL}/model", {"data": "results/run/mm/ct/data"})


def test_the_server_of_a_federation_has_the_clients_data_hashed_elsewhere(cell):
    """The same digests; this process opens none of the files."""
    opened = []
    sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
    assert digests_apart(cell / "mm/ct/data") == digests(cell / "mm/ct/data")
    own = [name for name in opened if "mm/ct/data/" in name]
    assert len(own) == len(digests(cell / "mm/ct/data")), "those of the second call"


def test_a_broken_record_of_an_input_stops_the_job_before_it_works(cell, project, job):
    (cell / "mm/ct/data/.record.json").write_text("{")
    with pytest.raises(Exception, match="returned non-zero exit status 1"):
        job("train", "results/run/mm/ct/sam/seed0/model", {"data": "results/run/mm/ct/data"})
    assert not (cell / "mm/ct/sam").exists() or not list((cell / "mm/ct/sam").rglob("*.txt"))


def work_for(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def hold(megabytes, pipe):
    held = bytearray(megabytes * 2**20)
    held[::4096] = b"x" * len(held[::4096])
    pipe.send("held")
    pipe.recv()


def test_memory_of_all_processes_is_counted():
    """Snakemake's and Slurm's limits hold for a job as a whole; the kernel's own peak is of one process."""
    context = multiprocessing.get_context("fork")
    meter = MemoryMeter()
    before = meter.read()
    pipes = [context.Pipe() for _ in range(3)]
    processes = [context.Process(target=hold, args=(400, theirs), daemon=True) for _, theirs in pipes]
    for process, (ours, _) in zip(processes, pipes, strict=True):
        process.start()
        ours.recv()
    # Some of it may lie below the kernel's peak of this process, which other tests have raised.
    peak = meter.read()
    for process, (ours, _) in zip(processes, pipes, strict=True):
        ours.send("done")
        process.join()
    assert 1150 < peak < before + 1300
    assert meter.read() == peak


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_cpu_seconds_of_processes_that_others_waited_for_are_counted(method):
    """As in a simulated federation: its clients' parent is the job, or a fork server, which outlives them."""
    before = cpu_seconds()
    client = multiprocessing.get_context(method).Process(target=work_for, args=(1.0,))
    client.start()
    client.join()
    assert client.exitcode == 0
    # Beside its work a client starts Python.
    assert 1.0 <= cpu_seconds() - before < 10.0


def test_digest_of_many_files_names_none_and_sees_every_change(tmp_path):
    (tmp_path / "x").write_text("1")
    (tmp_path / "y").write_text("2")
    before = joint_digest(digests(tmp_path))
    assert digests(tmp_path) == {"x": sha("1"), "y": sha("2")}
    assert joint_digest(digests(tmp_path / "x")) == sha("1")
    (tmp_path / "x").rename(tmp_path / "z")
    assert joint_digest(digests(tmp_path)) != before


@pytest.mark.parametrize("text", ["{", '{"record": 0}', "[]", '{"record": 1}'])
def test_a_broken_record_is_named(tmp_path, text):
    (tmp_path / ".record.json").write_text(text)
    with pytest.raises(FedFactoryError, match=r"record\.json: is no record of a job .*make what it is about again"):
        read_record(tmp_path / ".record.json")


def zone(root, name: str, kind: str, value: int, full: int) -> None:
    folder = root / name
    folder.mkdir()
    for file, text in (("name", kind), ("energy_uj", value), ("max_energy_range_uj", full)):
        (folder / file).write_text(f"{text}\n")


def test_energy_is_read_where_the_hardware_tells(tmp_path):
    zone(tmp_path, "intel-rapl:0", "package-0", 900_000, 1_000_000)
    zone(tmp_path, "intel-rapl:1", "package-1", 0, 2_000_000)
    zone(tmp_path, "intel-rapl:2", "psys", 0, 9_000_000)
    zone(tmp_path, "intel-rapl:0:0", "core", 0, 9_000_000)
    meter = EnergyMeter(gpu=False, rapl=tmp_path)
    # The first counter is full and starts anew: 0.2 J more; the second counts half a joule; the others hold the same.
    (tmp_path / "intel-rapl:0/energy_uj").write_text("100000")
    for name in ("intel-rapl:1", "intel-rapl:2", "intel-rapl:0:0"):
        (tmp_path / name / "energy_uj").write_text("500000")
    assert meter.read(None) == {"processor": 0.7, "gpu": None}
    assert EnergyMeter(gpu=False, rapl=tmp_path / "none").read(None) == {"processor": None, "gpu": None}


def test_a_counter_that_is_full_twice_is_counted_twice(tmp_path, monkeypatch):
    monkeypatch.setattr(energy, "_SECONDS", 0.01)
    zone(tmp_path, "intel-rapl:0", "package-0", 0, 1_000_000)
    meter = EnergyMeter(gpu=False, rapl=tmp_path)
    for value in (400_000, 800_000, 200_000, 600_000, 0, 400_000):
        (tmp_path / "new").write_text(str(value))
        (tmp_path / "new").replace(tmp_path / "intel-rapl:0/energy_uj")
        time.sleep(0.2)
    assert meter.read(None)["processor"] == pytest.approx(2.4)


def test_a_counter_that_vanishes_is_not_measured(tmp_path):
    zone(tmp_path, "intel-rapl:0", "package-0", 0, 1_000_000)
    meter = EnergyMeter(gpu=False, rapl=tmp_path)
    (tmp_path / "intel-rapl:0/energy_uj").unlink()
    assert meter.read(None)["processor"] is None


def test_energy_of_the_card_that_was_used(monkeypatch, tmp_path):
    """A driver with two cards, of which the job used the second."""
    joules = {"GPU-a": 1000.0, "GPU-b": 5000.0}

    class Driver:
        NVMLError = RuntimeError
        nvmlInit = staticmethod(lambda: None)
        nvmlDeviceGetCount = staticmethod(lambda: len(joules))
        nvmlDeviceGetHandleByIndex = staticmethod(lambda number: list(joules)[number])
        nvmlDeviceGetUUID = staticmethod(lambda handle: handle)
        nvmlDeviceGetTotalEnergyConsumption = staticmethod(lambda handle: joules[handle] * 1000)

    monkeypatch.setitem(sys.modules, "pynvml", Driver)
    meter = EnergyMeter(gpu=True, rapl=tmp_path)
    joules["GPU-b"] += 42.0
    assert meter.read("b") == {"processor": None, "gpu": 42.0}
    assert meter.read("c")["gpu"] is None
    assert EnergyMeter(gpu=False, rapl=tmp_path).read("b")["gpu"] is None
    joules.clear()
    assert meter.read("b")["gpu"] is None, "a driver that fails at the end costs no job"
