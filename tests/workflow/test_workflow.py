"""The workflow as a whole: what it makes, what it re-runs, what each job may read."""

import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import nibabel
import numpy as np
import pytest

from fedfactory.audit import Job, parse, violations
from tests.conftest import ROOT, real_head
from tests.workflow.conftest import TINY, Project

pytestmark = pytest.mark.workflow

ADAPTATION = ("source_branch", "synthetic_source", "factory_look", "adapt", "adapt_predict")
# What a target runs on its own; the files that others share are then taken as they are.
OWN_RULES = ("prepare_client", "factory_key", "factory_look", "adapt", "adapt_predict", "score")
CELL = "results/test/mo/octa/nnunet/seed0/scores.csv"
SOURCES = {"ms": "philips", "mo": "oasis"}
NNUNET = ("nnunet", "nnunet_daug", "nnunet_tl")
OTHERS = ("fedmedgan", "feddg", "sam", "medsam", "universeg")
OURS = ("ours", "ours_paired")
TABLE = ("score", "table1", "figure2", "cells")
FEDERATED = ("feddg_train", "feddg_predict", "fedmedgan_train", "fedmedgan_predict")
FOUNDATION = ("sam_pretrain", "universeg_pretrain", "sam_tune", "sam_predict", "universeg_predict")


def test_makes_every_cell_table_and_figure(finished: Project):
    results = finished.folder / "results/test"
    with (results / "table1.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 60
    assert {row["method"] for row in rows} == {*NNUNET, *OTHERS, *OURS}
    assert [row["target"] for row in rows[:6]] == ["siemens", "ge", "canon", "swi", "octa", "ixi"]
    assert [row["in_federation"] for row in rows[:6]] == ["1", "1", "0"] * 2
    assert {row["uses_target_labels"] for row in rows if row["method"] == "nnunet_tl"} == {"1"}
    assert all(0 <= float(row["dice_mean"]) <= 100 and int(row["n"]) >= 1 for row in rows)
    for setup, client in (("ms", "ge"), ("mo", "octa")):
        for name in (
            "samples.png",
            "morphing.png",
            "quality.png",
            "quality.md",
            "quality.csv",
            "ledger.csv",
            "model/generator.pt",
        ):
            assert (results / setup / "factory/seed0" / name).stat().st_size > 200, name
        assert (results / setup / client / "factory_quality/seed0.csv").exists()
    for cell in ("ms/siemens/ours", "mo/ixi/ours_paired"):
        for name in ("adaptation.png", "curves.png", "model/weights.pt", "model/losses.csv", "model/validation.csv"):
            assert (results / cell / "seed0" / name).exists(), name
    assert (results / "mo/oasis/ours/seed0/synthetic.png").stat().st_size > 500
    assert "‡ FedFactory's own extension" in (results / "table1.md").read_text()
    for name in (
        "table1.md",
        "table1.tex",
        "table1.html",
        "figure2.png",
        "figure2.pdf",
        "cells.png",
        "gallery.png",
        "gap.md",
    ):
        assert (results / name).stat().st_size > 500, name


def test_everything_is_up_to_date_afterwards(finished: Project):
    assert finished.planned() == {}
    output = finished.snakemake("--dry-run", *TINY).stderr
    assert "Nothing to be done" in output
    assert "unknown_cell" not in output
    assert len(output.splitlines()) < 12


def test_predictions_lie_in_the_geometry_of_the_raw_image(finished: Project):
    folder = finished.folder / "results/test/ms/siemens"
    predictions = sorted((folder / "nnunet/seed0/predictions").glob("*.nii.gz"))
    assert len(predictions) == 4, "two test subjects at end diastole and end systole"
    for path in predictions:
        code, phase = path.name.removesuffix(".nii.gz").rsplit("_", 1)
        raw = nibabel.load(next((folder / "raw").rglob(f"{code}_sa.nii.gz")))
        mask = nibabel.load(path)
        assert mask.shape == raw.shape[:3], phase
        np.testing.assert_allclose(mask.affine, raw.affine, atol=1e-4)


def test_one_cell_alone_on_one_core_gives_the_same_bytes(finished: Project, fresh: Project):
    fresh.snakemake(CELL, *TINY, cores=1)
    for part in ("oasis/nnunet/seed0/model", "octa/nnunet/seed0"):
        expected = finished.bytes_below("test", "mo", *part.split("/"))
        assert len(expected) > 2
        assert fresh.bytes_below("test", "mo", *part.split("/")) == expected
    made = {path.name for path in (fresh.folder / "results/test").iterdir()}
    assert made == {"mo", "logs", "benchmarks"}, "nothing of the other setups was needed"


def test_a_deleted_cell_is_scored_again_and_nothing_else(finished: Project):
    scores = finished.folder / CELL
    content = scores.read_bytes()
    scores.unlink()
    assert finished.planned() == {"score": 1, "gap": 1, "table1": 1, "figure2": 1, "cells": 1}
    finished.snakemake(*TINY)
    assert scores.read_bytes() == content
    assert finished.planned() == {}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_touching_a_source_file_re_runs_nothing(finished: Project):
    for path in (finished.folder / "src/fedfactory").rglob("*.py"):
        os.utime(path)
    for path in (finished.folder / "workflow_scripts").glob("*.py"):
        os.utime(path)
    assert finished.planned() == {}


@pytest.mark.parametrize(
    ("module", "rules"),
    [
        (
            "baselines/nnunet/environment.py",
            {"nnunet_plan", "nnunet_train", "nnunet_finetune", "nnunet_predict", "fedmedgan_predict", "gap", *TABLE},
        ),
        ("evaluation/scores.py", {"gap", *TABLE}),
        ("evaluation/render.py", {"gap", "table1"}),
        (
            "federation/sampling.py",
            {"factory_train", "factory_quality", "factory_pictures", *ADAPTATION, *FEDERATED, *TABLE},
        ),
        ("adaptation/target.py", {"adapt", "adapt_predict", *TABLE}),
        ("adaptation/pictures.py", {"synthetic_source", "adapt", "adapt_predict", *TABLE}),
        ("baselines/feddg/contrast.py", {"feddg_train", "feddg_predict", *TABLE}),
        ("baselines/fedmedgan/privacy.py", {"fedmedgan_train", "fedmedgan_predict", *TABLE}),
        ("baselines/foundation/tasks.py", {*FOUNDATION, *TABLE}),
        ("config.py", set()),
        ("data/adapters/generic.py", set()),
    ],
)
def test_editing_a_module_re_runs_what_depends_on_it(finished: Project, module, rules):
    path = finished.folder / "src/fedfactory" / module
    content = path.read_text()
    try:
        path.write_text(content + "\nEDITED = True\n")
        assert set(finished.planned()) == rules
    finally:
        path.write_text(content)


def test_an_edit_that_is_reverted_re_runs_nothing(finished: Project):
    """The last of the edits above, in time as in effect."""
    assert finished.planned() == {}


def test_editing_an_adapter_re_runs_its_clients(finished: Project):
    path = finished.folder / "src/fedfactory/data/adapters/ixi.py"
    content = path.read_text()
    try:
        path.write_text(content + "\nEDITED = True\n")
        planned = finished.planned()
        assert planned["prepare_client"] == 1
        assert planned["score"] == 10 + 2, "the cells of that client, and FedDG's that train on it"
        assert planned["adapt"] == 2 and planned["feddg_train"] == 2
        assert "nnunet_train" not in planned
    finally:
        path.write_text(content)


def test_changing_one_method_leaves_the_others_alone(finished: Project):
    path = finished.folder / "config/test.yaml"
    content = path.read_text()
    try:
        edit(
            path,
            "schedules:\n        - {epochs: 1, initial_lr: 0.01}",
            "schedules:\n        - {epochs: 1, initial_lr: 0.02}",
        )
        assert finished.planned() == {
            "nnunet_finetune": 6, "nnunet_predict": 6, "score": 6, "table1": 1, "figure2": 1, "cells": 1,
        }  # fmt: skip
    finally:
        path.write_text(content)


def test_a_clone_with_copied_results_re_runs_nothing(finished: Project, fresh: Project):
    shutil.copytree(finished.folder / "results", fresh.folder / "results", copy_function=shutil.copy2)
    assert fresh.planned() == {}


def test_report_is_written(finished: Project):
    finished.snakemake("--report", "report.zip", *TINY)
    assert (finished.folder / "report.zip").stat().st_size > 10_000


def jobs_of(project: Project) -> list[Job]:
    """All jobs of a dry run."""
    jobs = parse(project.snakemake("--dry-run", "--forceall", "--printshellcmds", *TINY).stderr)
    assert [job.rule for job in jobs if not job.shell] == ["all"], "commands are looked at as well"
    return jobs


def test_no_job_of_a_client_reads_data_of_another(finished: Project):
    """Data governance: raw files, slices and truth of a client are read by that client's jobs only.

    Federations have a process for each client, which alone opens its store: see tests/federation/test_simulated.py.
    """
    jobs = jobs_of(finished)
    assert not violations(jobs, "test", [], SOURCES)
    assert sum(bool(job.private_of("test")) for job in jobs) > 55
    for job in jobs:
        if job.rule == "factory_train":
            assert len(job.private_of("test")) == 3, "federated clients only"
        if job.rule in ("feddg_train", "fedmedgan_train"):
            ((setup, target),) = job.clients("test")
            read = {client for _, client in job.private_of("test")}
            assert read == {SOURCES[setup], target} if job.rule == "fedmedgan_train" else len(read - {target}) == 3
            assert (target in read) == (job.rule == "fedmedgan_train")
    adapting = [job for job in jobs if job.rule == "adapt"]
    assert len(adapting) == 12
    for job in adapting:
        # Beside its own store a target gets what the factory and the source share, and its own look.
        ((setup, client),) = job.clients("test")
        shared = set(job.inputs) - {f"results/test/{setup}/{client}/data"}
        source = f"{setup}/{SOURCES[setup]}/ours/seed0"
        expected = {f"{setup}/factory/seed0/model", f"{source}/branch", f"{source}/synthetic"}
        expected |= {f"{setup}/{client}/ours/seed0/look"} if client in {"canon", "ixi"} else set()
        assert shared == {f"results/test/{name}" for name in expected}


def test_only_a_method_that_is_declared_centralised_reads_the_sources_store(fresh: Project):
    """The control with real source images: shown with a dagger, and the one job that reads two clients' data."""
    path = fresh.folder / "config/test.yaml"
    control = """  upper:
    label: Real source
    rules: adaptation
    uses_mt: true
    centralised: true
    parameters:
      base: ours
      target: {<<: *target, source_samples: real}

"""
    edit(path, "# The data factory of every", control + "# The data factory of every")
    jobs = jobs_of(fresh)
    assert not violations(jobs, "test", ["upper"], SOURCES)
    both = [job for job in jobs if job.rule == "adapt" and "/upper/" in job.outputs[0]]
    assert len(both) == 6 and all(len(job.private_of("test")) == 2 for job in both)
    assert len(violations(jobs, "test", [], SOURCES)) == len(both)
    edit(path, "label: Real source\n    rules: adaptation\n    uses_mt: true\n    centralised: true",
         "label: Real source\n    rules: adaptation\n    uses_mt: true\n    centralised: false")  # fmt: skip
    result = fresh.snakemake("--dry-run", *TINY, check=False)
    assert "centralised if, and only if, its source samples are 'real'" in result.stderr


def test_an_oracle_reads_truth_by_a_rule_of_its_own_and_stands_in_another_table(fresh: Project):
    path = fresh.folder / "config/test.yaml"
    edit(path, "prompt: full_box", "prompt: oracle_box")
    refused = fresh.snakemake("--dry-run", *TINY, check=False)
    assert "methods.sam.parameters.prompt': 'oracle_box' is drawn from the truth" in refused.stderr
    edit(path, "run: test\n", "run: test\ntable: bounds\n")
    jobs = jobs_of(fresh)
    assert not violations(jobs, "test", [], SOURCES)
    told = [job for job in jobs if job.rule == "sam_predict_oracle"]
    assert len(told) == 6 and all("/sam/" in job.outputs[0] and job.reads_truth() for job in told)
    assert {job.rule for job in jobs if job.reads_truth()} == {"score", "sam_predict_oracle"}


def test_published_weights_are_accepted_checked_and_used(fresh: Project):
    """A file of UniverSeg's published form with random values, dropped in by hand."""
    import torch

    from fedfactory.baselines.universeg.network import UniverSeg

    torch.manual_seed(0)
    file = fresh.folder / "weights/universeg_v1_nf64_ss64_STA.pt"
    file.parent.mkdir()
    torch.save(UniverSeg().state_dict(), file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    own = fresh.folder / "config/published.yaml"
    parameters = "{weights: universeg-v1, image_size: 128, features: null, pretraining: null}"
    entry = f"methods: {{universeg: {{parameters: {parameters}}}}}\n"
    own.write_text(entry)
    configuration = (*TINY, "config/published.yaml")
    cell = "results/test/mo/octa/universeg/seed0"

    def run() -> subprocess.CompletedProcess[str]:
        return fresh.snakemake(*configuration, "--", f"{cell}/scores.csv", check=False)

    assert "accept_licences: ['UniverSeg model licence (research only)']" in run().stderr
    own.write_text(entry + "accept_licences: ['UniverSeg model licence (research only)']\n")
    assert f"if you trust where {file.relative_to(fresh.folder)} comes from, enter {digest}" in run().stderr
    edit(fresh.folder / "config/weights.yaml", "  sha256: null\n", f"  sha256: {digest}\n")
    done = run()
    assert done.returncode == 0, done.stderr
    named = json.loads((fresh.folder / cell / "weights.json").read_text())
    assert named == {"weights": "universeg-v1", "sha256": digest}
    assert (fresh.folder / cell / "scores.csv").exists()


def test_a_hospital_adapts_its_own_target_from_shared_files(finished: Project, fresh: Project):
    """On a machine that holds nothing but the factory, what the source shares, and one target's raw data."""
    shared = ("ms/factory/seed0/model", "ms/philips/ours/seed0/branch", "ms/philips/ours/seed0/synthetic", "ms/ge/raw")
    for part in shared:
        shutil.copytree(finished.folder / "results/test" / part, fresh.folder / "results/test" / part)
    target = ("results/test/ms/ge/ours_paired/seed0/scores.csv", *TINY, "--allowed-rules", *OWN_RULES)
    assert fresh.planned(*target) == {"prepare_client": 1, "adapt": 1, "adapt_predict": 1, "score": 1}
    fresh.snakemake(*target, cores=1)
    cell = ("test", "ms", "ge", "ours_paired", "seed0")
    assert fresh.bytes_below(*cell) == finished.bytes_below(*cell)
    stores = {path.parent.name for path in (fresh.folder / "results/test/ms").rglob("data") if path.is_dir()}
    assert stores == {"ge"}


def test_truth_of_the_test_set_is_read_by_scoring_only(finished: Project):
    assert {job.rule for job in jobs_of(finished) if job.reads_truth()} == {"score"}


def test_every_job_leaves_a_log_and_its_cost(finished: Project):
    results = finished.folder / "results/test"
    logs, costs = (
        {path.relative_to(results / kind).with_suffix("") for path in (results / kind).rglob("*") if path.is_file()}
        for kind in ("logs", "benchmarks")
    )
    assert logs == costs
    assert len(logs) == sum(finished.planned("--forceall", *TINY).values()) > 200
    cost = json.loads((finished.folder / "results/test/benchmarks/gallery.jsonl").read_text().splitlines()[-1])
    assert cost["rule_name"] == "gallery"


@pytest.mark.parametrize(("name", "adaptations"), [("demo", 2), ("paper", 1)])
def test_dry_run_plans_every_cell(fresh: Project, name, adaptations):
    counts = fresh.planned("--configfile", f"config/{name}.yaml")
    assert counts["score"] == 9 * (8 + adaptations) + 3
    assert counts["feddg_train"] == counts["fedmedgan_train"] == counts["universeg_predict"] == 9
    assert counts["sam_tune"] == counts["sam_predict"] == 18
    assert ("sam_pretrain" in counts) == (name == "demo") and ("weights" in counts) == (name == "paper")
    assert counts["nnunet_train"] == 6
    assert counts["source_branch"] == counts["synthetic_source"] == counts["factory_look"] == 3
    assert counts["adapt"] == counts["adapt_predict"] == 9 * adaptations
    assert counts["nnunet_finetune"] == 9
    assert ("phantom_site" in counts) == (name == "demo")
    assert counts["factory_train"] == counts["factory_pictures"] == 3
    assert counts["factory_key"] == 12, "also of the clients outside, whose look starts from the nearest"
    assert counts["factory_quality"] == 9


def test_a_run_can_do_without_a_factory(fresh: Project):
    path = fresh.folder / "config/demo.yaml"
    text = re.sub(r"^factory:\n(  .*\n)+", "", path.read_text(), flags=re.M)
    path.write_text(re.sub(r"^  ours(_paired)?:\n((    .*)?\n)+", "", text, flags=re.M))
    counts = fresh.planned("--configfile", "config/demo.yaml")
    assert counts["score"] == 9 * 8 + 3
    assert not any(name.startswith("factory") for name in counts)


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("results/demo/mm/pt/nnunet/seed0/scores.csv", "Did you mean results/demo/mm/pet/nnunet/seed0/scores.csv?"),
        (
            "results/demo/mm/pdw/nnunet_tl/seed0/scores.csv",
            "Did you mean results/demo/mm/pdw/nnunet/seed0/scores.csv?",
        ),
        ("results/demo/mm/pet/nnunet/seed7/scores.csv", "results/demo/mo/ixi/ours_paired/seed0/scores.csv"),
        ("results/paper/mm/pet/nnunet/seed0/scores.csv", "is no cell of run 'demo' (config/demo.yaml)"),
    ],
)
def test_unknown_cell_lists_the_known_ones(fresh: Project, asked, hint):
    result = fresh.snakemake("--dry-run", asked, check=False)
    assert result.returncode != 0
    assert f"{asked} is no cell of run" in result.stderr
    assert hint in result.stderr
    assert result.stderr.count("/scores.csv") >= 90 + 3 + 1


def test_bad_configuration_ends_with_one_sentence(fresh: Project):
    edit(fresh.folder / "config/demo.yaml", "few_shot:", "few_shots:")
    result = fresh.snakemake("--dry-run", check=False)
    assert result.returncode != 0
    assert "config/demo.yaml: key 'few_shots': is unknown" in result.stderr
    assert "Traceback" not in result.stderr


def test_missing_raw_folder_fails_with_the_reason(fresh: Project):
    result = fresh.snakemake(
        "results/paper/mo/ixi/data", "--configfile", "config/paper.yaml", "--cores", "1", check=False
    )
    assert result.returncode != 0
    assert "error: client ixi of setup mo: the raw folder data/ixi is missing" in result.stderr
    assert "failed: prepare_client mo ixi" in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.splitlines()) < 40
    assert not list((fresh.folder / "results/paper").rglob("data"))


def test_a_real_image_of_ones_own_passes_through(fresh: Project):
    """New clients of anybody's data are a setup file and a folder, no code; masks come back on the grid of the file."""
    affines = [real_head(fresh.folder / "mine" / site) for site in ("siteA", "siteB")]
    client = (
        "{{label: {0}, federated: true, raw: {0}, adapter: generic, labels: {{head: 1}},"
        " options: {{images: imagesTr, labels: labelsTr}}}}"
    )
    (fresh.folder / "config/setups/own.yaml").write_text(
        "name: own\nlabel: OWN\ntitle: Own data\nclasses: [head]\nsource: a\nfigure_target: b\norientation: RAS\n"
        f"clients:\n  a: {client.format('siteA')}\n  b: {client.format('siteB')}\n"
    )
    text = (fresh.folder / "config/test.yaml").read_text()
    text = re.sub(r"setups:\n(  - .*\n)+", "setups:\n  - config/setups/own.yaml\n", text)
    # What the shipped setups need of the factory goes with them.
    text = re.sub(r"^( +)setups:\n(\1  .*\n)+", "", text, flags=re.M)
    text = re.sub(r"data:\n(  .*\n)+", "data:\n  source: files\n  seed: 0\n  root: mine\n", text)
    (fresh.folder / "config/own.yaml").write_text(text.replace("run: test", "run: own"))
    fresh.snakemake("results/own/own/b/nnunet_tl/seed0/scores.csv", "--configfile", "config/own.yaml")
    cell = fresh.folder / "results/own/own/b/nnunet_tl/seed0"
    with (cell / "scores.csv").open() as file:
        assert {row["class"] for row in csv.DictReader(file)} == {"head"}
    masks = sorted((cell / "predictions").glob("*.nii.gz"))
    assert len(masks) == 2
    for path in masks:
        raw = nibabel.load(fresh.folder / f"mine/siteB/imagesTr/{path.name.removesuffix('.nii.gz')}_0000.nii.gz")
        mask = nibabel.load(path)
        assert mask.shape == raw.shape
        np.testing.assert_allclose(mask.affine, affines[1])


def test_lock_and_conda_environment_agree():
    lock = {line for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line}
    conda = set(re.findall(r"^ +- (\S+==\S+)$", (ROOT / "envs/fedfactory.yaml").read_text(), re.M))
    assert lock == conda
    assert len(lock) > 50
