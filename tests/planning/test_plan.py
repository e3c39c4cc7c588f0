"""A run's plan: steps of jobs, hours, the longest chain, and where the figures come from."""

import csv
import json
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
import yaml

from fedfactory.config.run import load_config, read_yaml
from fedfactory.data.releases import read_releases, store_mb
from fedfactory.errors import FedFactoryError
from fedfactory.factory.plan import FactoryPlan
from fedfactory.orchestration.audit import Job, planned
from fedfactory.orchestration.cli import main
from fedfactory.orchestration.costs import Costs, steps
from fedfactory.orchestration.declared import methods
from fedfactory.orchestration.plan import make_plan, report
from fedfactory.provenance.record import NAME, VERSION
from tests.conftest import ROOT


def paper():
    file = ROOT / "config/paper.yaml"
    return load_config(read_yaml(file, "paper"), [file], ROOT)


def phantoms():
    return replace(paper(), data={**paper().data, "source": "phantom"})


def small():
    """A run of the demo's size on files."""
    return replace(paper(), device="cpu", preprocessing={**paper().preprocessing, "image_size": 64})


def job(rule, method="ours", inputs=(), outputs=(), **resources):
    wildcards = {"setup": "ms", "client": "philips", "method": method, "seed": "0"}
    return Job(rule, tuple(inputs), tuple(outputs), f"python $SCRIPTS/{rule}.py --out x", wildcards, resources)


def write_run(folder, seconds):
    """Jobs of a run: rule -> what each took. Their records hold no more than a record must."""
    for rule, values in seconds.items():
        for number, value in enumerate(values):
            record = {"record": VERSION, "behind": [], "arguments": [], "options": [], "bytes_exchanged": 0}
            record |= dict.fromkeys(("made", "sha256", "job", "code", "python"), "")
            record |= {name: {} for name in ("files", "inputs", "device", "energy_joules", "machine", "kernels")}
            record |= {"commit": None, "packages": {}}
            record |= {"log": f"results/demo/logs/{rule}/{number}.log", "seconds": value, "cpu_seconds": value}
            record |= {"started": "2026-01-01T00:00:00Z", "finished": "2026-01-01T01:00:00Z", "peak_memory_mb": 1}
            file = folder / rule / str(number) / NAME
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(record))
    return folder


def test_steps_of_every_training_are_those_of_its_parameters():
    config = paper()

    def of(rule, *arguments, **more):
        return steps(job(rule, *arguments, **more), config, ROOT)

    # The paper: two clients in each of 350 rounds of 2000 steps, and of 35 rounds of 200.
    assert of("factory_train") == 2 * (350 * 2000 + 35 * 200)
    assert of("nnunet_train", "nnunet") == 250_000
    assert of("nnunet_finetune", "nnunet_tl") == 50_000
    assert of("source_branch") == 15_000
    assert of("adapt") == 20_000
    stores = [f"results/paper/ms/{name}/data" for name in ("philips", "siemens", "ge")]
    assert of("feddg_train", "feddg", inputs=stores) == 3 * 100 * 500


def test_measured_hours_come_from_the_benchmark_and_others_say_what_is_assumed():
    costs = Costs.read(ROOT, None, paper())
    seconds, basis = costs.of(job("adapt"))
    rows = (ROOT / "docs/benchmarks/gpu_paper.csv").read_text()
    one, two = (
        float(re.search(rf'"target, {kind}, the paper\'s batch",float32,([\d.]+)', rows).group(1))
        for kind in ("intra", "inter")
    )
    assert seconds == pytest.approx(20_000 * (one + two) / 2)
    assert basis == "docs/benchmarks/gpu_paper.csv, one NVIDIA H200"
    assert costs.of(job("nnunet_train", "nnunet"))[1].startswith("assumed: ")


def test_a_run_with_finished_jobs_is_planned_from_what_they_took(tmp_path):
    costs = Costs.read(ROOT, write_run(tmp_path, {"adapt": [10, 30], "score": [2]}), paper())
    assert costs.of(job("adapt"))[0] == 20
    assert "mean of the finished jobs" in costs.of(job("score"))[1]
    assert costs.of(job("nnunet_train", "nnunet"))[1].startswith("assumed: "), "not finished yet"
    rows = csv.DictReader((ROOT / "docs/benchmarks/run_cost.csv").open())
    (demo,) = [float(row["wall s"]) / int(row["jobs"]) for row in rows if row["rule"] == "nnunet_train"]
    own = Costs.read(ROOT, write_run(tmp_path, {"adapt": [10, 30]}), small())
    assert own.of(job("adapt"))[0] == 20
    seconds, basis = own.of(job("nnunet_train"))
    assert seconds == pytest.approx(demo) and "as in the demo" in basis, "no figure of another scale"
    assert own.of(job("a_rule_of_tomorrow"))[1] == "a short job"


def test_a_finished_run_has_nothing_left():
    plan = make_plan([], paper(), Costs.read(ROOT, None, paper()), read_releases(ROOT))
    assert "Nothing is left to do" in report("title", plan, gpus=1)


def test_hours_add_up_and_the_longest_chain_is_found(tmp_path):
    costs = Costs.read(ROOT, write_run(tmp_path, {"adapt": [7200], "prepare_client": [1800], "score": [36]}), paper())
    jobs = [
        job("score", inputs=["c"], outputs=["d"], mem_mb=1000),
        job("adapt", inputs=["a", "b"], outputs=["c"], gpu=1, mem_mb=9000),
        job("adapt", inputs=["b"], outputs=["e"], gpu=1, mem_mb=18000),
        job("prepare_client", outputs=["a"]),
    ]
    plan = make_plan(jobs, paper(), costs, read_releases(ROOT))
    assert plan.jobs == 4
    assert plan.chain_hours == pytest.approx(0.5 + 2 + 0.01)
    adapt = next(stage for stage in plan.stages if stage.rule == "adapt")
    assert (adapt.jobs, adapt.gpu_hours, adapt.cpu_hours, adapt.longest_hours, adapt.memory_gb) == (2, 4, 0, 2, 18)
    # 250 volumes of 11 slices at 512 pixels, five bytes each.
    prepared = next(stage for stage in plan.stages if stage.rule == "prepare_client")
    assert prepared.disk_gb == pytest.approx(250 * 11 * 512**2 * 5 / 1e9)
    said = report("title", plan, gpus=2)
    assert "4 jobs, 4.0 GPU hours" in said and "with 2 GPUs at least 2.5 hours" in said


def test_memory_grows_with_what_a_release_holds():
    table, config = read_releases(ROOT), paper()
    oasis = table.clients["mo"]["oasis"]
    size = store_mb(table, config, "mo", "oasis")
    assert size == pytest.approx(oasis.volumes * oasis.slices * 512**2 * 5 / 1e6)
    factory, row = FactoryPlan(config), methods()["feddg"].open(config, ROOT)
    none, all_ = (lambda setup, client: 0.0), (lambda setup, client: store_mb(table, config, setup, client))
    stores = sum(store_mb(table, config, "mo", client) for client in factory.clients("mo"))
    cell = SimpleNamespace(setup="mo", client="octa", method="feddg", seed="0")
    assert factory.training_memory(all_, cell) - factory.training_memory(none, cell) == pytest.approx(stores, abs=1)
    assert row.memory(cell, all_) > row.memory(cell, none) + 3 * size - 1
    assert store_mb(table, phantoms(), "mo", "oasis") == 0


@pytest.mark.workflow
def test_every_job_with_a_gpu_has_a_cost():
    jobs = planned(ROOT, [ROOT / "config/paper.yaml"], "--forceall")
    costs = Costs.read(ROOT, None, paper())
    assert (
        {job.rule for job in jobs if job.resources.get("gpu")} <= set(costs.table.rules) <= {job.rule for job in jobs}
    )


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"unit": "job"}, "key 'rules.adapt': needs either 'measured', or 'assumed' with 'because'"),
        ({"unit": "job", "assumed": 3}, "needs either"),
        ({"unit": "hour", "assumed": 3, "because": "x"}, "key 'costs.rules.adapt.unit'"),
        ({"unit": "job", "measured": {"file": "../x", "rows": ["a"], "of": 1}}, "leaves its folder"),
        (
            {"unit": "job", "measured": {"file": "docs/benchmarks/gpu_paper.csv", "rows": ["a"], "of": 1}},
            "has no such figure ('a')",
        ),
    ],
)
def test_a_bad_table_is_refused(tmp_path, entry, message):
    (tmp_path / "config").mkdir()
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    (tmp_path / "config/costs.yaml").write_text(yaml.safe_dump({"card": "x", "rules": {"adapt": entry}}))
    with pytest.raises(FedFactoryError, match=re.escape(message)):
        Costs.read(tmp_path, None, paper())


@pytest.mark.workflow
def test_the_papers_run_is_planned(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(["plan", "--configfile", "config/paper.yaml"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^adapt +9 +\d", said, re.M) and "GPU hours" in said
    assert main(["plan", "--configfile", "config/papers.yaml"]) == 1
    assert "config/papers.yaml: cannot be read" in capsys.readouterr().err
