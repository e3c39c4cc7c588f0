"""The command line: methods, and the check of one."""

import re

import pytest

from fedfactory.config.files import read_run
from fedfactory.errors import FedFactoryError
from fedfactory.orchestration.audit import Job, Use, planned, uses, violations
from fedfactory.orchestration.check_method import with_bases
from fedfactory.orchestration.cli import main
from tests.conftest import ROOT


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_methods_are_listed(capsys):
    assert main(["methods"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.match(r"nnunet_tl +\+TL +nnunet +M_t, validation$", next(x for x in lines if x.startswith("nnunet_tl")))
    said = "    fedmedgan_train reads data: the source's and the target's; lets out: translated training images"
    assert any(line.startswith(said) for line in lines)
    assert main(["methods", "--configfile", "config/demo.yaml", "config/ablation.yaml"]) == 0
    assert "ours_real_source" in capsys.readouterr().out


def test_an_unknown_method_is_answered_with_those_that_exist(capsys):
    assert main(["check-method", "nnunett"]) == 1
    assert re.search(r"there is no method 'nnunett'; known are nnunet, nnunet_daug", capsys.readouterr().err)


def test_outside_of_a_project(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["methods"]) == 1
    assert "holds no Snakefile; call fedfactory in the project's folder" in capsys.readouterr().err


SOURCES = {"mm": "pdw", "ms": "philips"}
OWN, CELL = "results/check/mm/ct", "results/check/mm/ct/mine/seed0"
MINE = {"setup": "mm", "client": "ct", "method": "mine", "seed": "0"}
PLAN = [
    Job("prepare_client", (f"{OWN}/raw",), (f"{OWN}/data", f"{OWN}/truth"), "python $SCRIPTS/prepare_client.py"),
    Job("mine_train", ("results/check/mm/pdw/data", f"{OWN}/data"), (f"{CELL}/model",), "python a", MINE),
    Job("mine_predict", (f"{CELL}/model", f"{OWN}/truth"), (f"{CELL}/predictions",), "python b", MINE),
]


def test_jobs_that_read_what_they_may_not():
    found = violations(PLAN, "check", [], SOURCES)
    assert len(found) == 2
    assert "rule mine_train" in found[0] and "private data of mm/ct, mm/pdw" in found[0]
    assert "rule mine_predict" in found[1] and "reads the truth of test volumes" in found[1]
    assert len(violations(PLAN, "check", ["mine"], SOURCES)) == 1, "declared centralised, but truth is nobody's"


def federation(rule: str, *clients: str) -> list[str]:
    """Violations of a federation whose model is CT's."""
    inputs = tuple(f"results/check/mm/{client}/data" for client in clients)
    return violations([Job(rule, inputs, ("results/check/mm/ct/m/seed0/model",), "")], "check", [], SOURCES)


def test_a_federation_is_of_those_who_may_take_part():
    assert not federation("feddg_train", "pet", "pdw")
    assert "private data of mm/ct, mm/pdw" in federation("feddg_train", "ct", "pdw")[0], "FedDG never sees the target"
    assert not federation("fedmedgan_train", "ct", "pdw")
    assert federation("fedmedgan_train", "ct", "pdw", "pet") and federation("fedmedgan_train", "pdw", "pet")
    assert federation("fedmedgan_train", "ct", "pet"), "a second target in place of the source"
    of_two_setups = ("results/check/mm/ct/data", "results/check/ms/ge/data")
    assert violations(
        [Job("factory_train", of_two_setups, ("results/check/mm/factory/seed0/model",), "")], "check", [], SOURCES
    )


def test_truth_in_a_command_is_seen():
    own = "results/check/mm/ct"
    job = Job("x", (f"{own}/data",), (f"{own}/m/seed0/predictions",), f"python a --raw {own}/truth")
    assert "reads the truth" in violations([job], "check", [], SOURCES)[0]
    making = Job("prepare_client", (f"{own}/raw",), (f"{own}/data", f"{own}/truth"), f"python a --truth {own}/truth")
    assert not violations([making], "check", [], SOURCES)


def test_a_path_in_the_command_counts_as_well():
    own = "results/check/mm/ct"
    job = Job("x", (f"{own}/data",), (f"{own}/m/seed0/model",), "python a results/check/mm/pet/data")
    assert violations([job], "check", [], SOURCES)


def test_what_reads_a_clients_data_and_what_leaves():
    federation = Job(
        "factory_train",
        ("results/check/mm/ct/data", "results/check/mm/pdw/data"),
        ("results/check/mm/factory/seed0/model",),
        "python $SCRIPTS/factory_train.py",
    )
    found = uses([*PLAN, federation], "check", "mm", "ct")
    assert found == [
        Use("prepare_client", 1, ("raw",), ()),
        Use("mine_train", 1, ("data",), ()),
        Use("mine_predict", 1, ("truth",), ()),
        Use("factory_train", 1, ("data",), ("results/check/mm/factory/<seed>/model",)),
    ]
    assert [use.rule for use in uses([*PLAN, federation], "check", "mm", "pdw")] == [
        "mine_train",
        "factory_train",
    ]


def test_an_unknown_client_is_answered_with_those_that_exist(capsys):
    assert main(["audit", "mm/pt"]) == 1
    assert "there is no client 'mm/pt'; known are ms/siemens, ms/philips" in capsys.readouterr().err


@pytest.mark.workflow
def test_jobs_come_from_snakemake_with_all_that_it_knows_of_them():
    jobs = planned(ROOT, [ROOT / "config/test.yaml"], "--forceall", targets=["results/test/ms/ge/feddg/seed0/model"])
    assert {job.rule for job in jobs} == {"phantom_site", "prepare_client", "feddg_train"}
    (training,) = (job for job in jobs if job.rule == "feddg_train")
    assert training.wildcards == {"setup": "ms", "client": "ge", "method": "feddg", "seed": "0"}
    assert training.inputs == tuple(f"results/test/ms/{name}/data" for name in ("philips", "siemens", "canon"))
    assert training.outputs == ("results/test/ms/ge/feddg/seed0/model",)
    assert "feddg_train.py" in training.shell and training.resources["mem_mb"] > 1000


@pytest.mark.workflow
def test_what_snakemake_refuses_is_said():
    with pytest.raises(FedFactoryError, match="the run cannot be planned:(.|\n)*No rule to produce nothing"):
        planned(ROOT, [ROOT / "config/test.yaml"], targets=["nothing"])


@pytest.mark.workflow
def test_the_demo_is_audited_for_a_client(capsys):
    assert main(["audit", "mm/pet"]) == 0
    said = capsys.readouterr().out
    assert "factory_train: 1 jobs read data (federation" in said
    assert "lets out: its key, and the weights of the model" in said
    assert "leaves the client's folder: results/demo/mm/factory/<seed>/model" in said
    assert re.search(r"All \d+ jobs keep the rules", said)


def test_a_check_takes_along_what_a_row_is_like_and_starts_from():
    files = [ROOT / "config/demo.yaml"]
    rows = read_run(files, ROOT)["methods"]
    assert with_bases(rows, "fedsemi") == {"fedsemi", "fedavg"}
    assert with_bases(rows, "tent") == {"tent", "nnunet"}
    assert with_bases(rows, "nnunet_gin") == {"nnunet_gin", "nnunet"}
