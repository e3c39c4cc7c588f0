"""The finished run: what it made, what of it runs again after a change, what each job may read."""

import csv
import json
import os
import random
import re
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import nibabel
import numpy as np
import pytest

from benchmarks.edits import Edited
from benchmarks.golden import first_difference
from benchmarks.golden import read as read_golden
from fedfactory.config.files import read_run
from fedfactory.config.run import load_config
from fedfactory.data.adapters import find_cases
from fedfactory.data.store import ClientView
from fedfactory.errors import FedFactoryError
from fedfactory.evaluation.page.texts import CHARTS
from fedfactory.methods.nnunet.planning import DATASET
from fedfactory.orchestration.audit import violations
from fedfactory.orchestration.export import write_bundle
from fedfactory.orchestration.portable import SETTINGS
from fedfactory.orchestration.warm.listener import ADDRESS
from fedfactory.provenance.job_costs import job_costs, records_by_job
from tests.conftest import ball_volume, write_nifti
from tests.workflow.conftest import TINY, Project, edit
from tests.workflow.examples import REPLACED, commands, run, write_files_of, write_raw_data_of_the_page

pytestmark = pytest.mark.workflow

ADAPTATION = (
    *("source_branch", "synthetic_source", "source_privacy", "factory_look", "adapt", "choose", "adapt_predict"),
)
# What a target runs on its own; the files that others share are then taken as they are.
OWN_RULES = ("prepare_client", "factory_key", "factory_look", "adapt", "choose", "adapt_predict", "score")
CELL = "results/test/mo/octa/nnunet/seed0/scores.csv"
CLIENTS = {"ms": ("philips", "siemens", "ge", "canon"), "mo": ("oasis", "swi", "octa", "ixi")}
SOURCES = {setup: clients[0] for setup, clients in CLIENTS.items()}
NNUNET = ("nnunet", "nnunet_daug", "nnunet_tl")
OTHERS = ("fedmedgan", "feddg", "sam", "medsam", "universeg")
OURS = ("ours", "ours_paired")
BOUNDS = ("mean_mask", "only_mt", "all_labels", "fedavg", "pooled")
TABLES = ("table1", "strict", "gap")
ANALYSED = ("analysis", "strict_analysis", "charts", "page")
AFTER_SCORES = ("table1", "strict", *ANALYSED, "figure2", "cells", "slices", "failures")
TABLE = ("score", *AFTER_SCORES)
FACTORY = ("factory_train", "factory_quality", "factory_privacy", "privacy", "factory_pictures")
FEDERATED = ("fedavg_train", "feddg_train", "predict", "fedmedgan_train", "fedmedgan_predict")
FOUNDATION = ("sam_pretrain", "universeg_pretrain", "sam_tune", "choose", "sam_predict", "universeg_predict")


def test_every_array_is_the_same_on_every_processor(finished: Project):
    # After a change that must change numbers: python -m benchmarks.golden results/test --write
    assert first_difference(finished.folder / "results/test", read_golden()) is None


def test_makes_every_cell_table_and_figure(finished: Project):
    results = finished.folder / "results/test"
    with (results / "table1.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 90
    assert {row["method"] for row in rows} == {*NNUNET, *OTHERS, *OURS, *BOUNDS}
    assert [row["target"] for row in rows[:6]] == ["siemens", "ge", "canon", "swi", "octa", "ixi"]
    assert [row["in_federation"] for row in rows[:6]] == ["1", "1", "0"] * 2
    assert {row["labels_train"] for row in rows if row["method"] == "nnunet_tl"} == {"3"}
    chooses = {row["method"]: int(row["labels_choose"]) > 0 for row in rows}
    assert (chooses["sam"], chooses["medsam"], chooses["nnunet_tl"]) == (True, False, True)
    with (results / "table1_strict.csv").open() as file:
        strict = list(csv.DictReader(file))
    assert {row["labels_choose"] for row in strict} == {"0"}
    names = ("nnunet_tl_strict", "sam_strict", "medsam", "ours_strict", "ours_paired_strict")
    assert {*names, "nnunet", *BOUNDS} < {row["method"] for row in strict} and len(strict) == len(rows)
    none = [row for row in rows if row["method"] in ("nnunet", "feddg")]
    assert {(row["labels_train"], row["labels_choose"]) for row in none} == {("0", "0")}
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
        assert (results / setup / client / "factory_privacy/seed0.csv").exists()
    for cell in ("ms/siemens/ours", "mo/ixi/ours_paired"):
        for name in ("adaptation.png", "curves.png", "model/weights.pt", "model/losses.csv", "model/states/0000004.pt"):
            assert (results / cell / "seed0" / name).exists(), name
    assert (results / "mo/oasis/ours/seed0/synthetic.png").stat().st_size > 500
    assert "‡ FedFactory's own extension" in (results / "table1.md").read_text()
    for name in (
        "table1.md",
        "table1.tex",
        "table1.html",
        "table1_strict.md",
        "table1_strict_analysis/analysis.md",
        "figure2.png",
        "figure2.pdf",
        "cells.png",
        "failures.png",
        "index.html",
        "charts/ranks.png",
        "table1_analysis/analysis.md",
        "table1_analysis/beside_paper.md",
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


def test_one_cell_alone_on_one_core_and_started_cold_gives_the_same_bytes(
    finished: Project, fresh: Project, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(ADDRESS, "off")
    fresh.snakemake(CELL, *TINY, cores=1)
    for part in ("oasis/nnunet/seed0/model", "octa/nnunet/seed0"):
        expected = finished.bytes_below("test", "mo", *part.split("/"))
        assert len(expected) > 2
        assert fresh.bytes_below("test", "mo", *part.split("/")) == expected
    made = {path.name for path in (fresh.folder / "results/test").iterdir()}
    assert made == {"mo", "logs"}, "nothing of the other setups was needed"


def test_a_deleted_cell_is_scored_again_and_nothing_else(finished: Project):
    scores = finished.folder / CELL
    content = scores.read_bytes()
    scores.unlink()
    assert finished.planned() == {"score": 1, "gap": 1} | dict.fromkeys(AFTER_SCORES, 1)
    finished.snakemake(*TINY)
    assert scores.read_bytes() == content
    assert finished.planned() == {}


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
            "methods/nnunet/environment.py",
            {
                *("nnunet_plan", "nnunet_train", "nnunet_train_target", "nnunet_plan_pooled", "nnunet_train_pooled"),
                *("nnunet_finetune", "choose", "predict", "fedmedgan_predict", "gap", *TABLE),
            },
        ),
        ("evaluation/scores.py", {"gap", *TABLE}),
        ("evaluation/render.py", {*TABLES, "analysis", "strict_analysis", "page"}),
        ("evaluation/statistics.py", {*TABLES, *ANALYSED}),
        ("evaluation/page/content.py", {"page"}),
        ("provenance/record.py", {*TABLE, "gap"}),
        ("provenance/story.py", {*TABLE, "gap"}),
        (
            "federation/sampling.py",
            {*FACTORY, *ADAPTATION, *FEDERATED, *TABLE},
        ),
        ("methods/ours/target.py", {"adapt", "choose", "adapt_predict", *TABLE}),
        (
            "methods/ours/pictures.py",
            {"synthetic_source", "source_privacy", "adapt", "choose", "adapt_predict", *TABLE},
        ),
        ("methods/feddg/contrast.py", {"feddg_train", "predict", *TABLE}),
        ("methods/fedmedgan/privacy.py", {"fedmedgan_train", "fedmedgan_predict", *TABLE}),
        ("methods/foundation/tasks.py", {*FOUNDATION, *TABLE}),
        ("config/run.py", set()),
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


def test_an_edit_while_jobs_run_leaves_nothing_of_the_edited_code(finished: Project, tmp_path: Path):
    """Two trials like the twenty of docs/benchmarks/edits.md."""
    project = Edited(finished.folder / "results/test", tmp_path / "project")
    chance = random.Random(1)
    trials = [project.trial(chance) for _ in range(2)]
    assert all(trial.good for trial in trials), trials


def test_editing_an_adapter_re_runs_its_clients(finished: Project):
    path = finished.folder / "src/fedfactory/data/adapters/ixi.py"
    content = path.read_text()
    try:
        path.write_text(content + "\nEDITED = True\n")
        planned = finished.planned()
        assert planned["prepare_client"] == 1
        own, strict, others = 15, 4, 3 * 2
        assert planned["score"] == own + strict + others, "its cells, and those of federations and pools with it"
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
            "schedules:\n        - {epochs: 1, initial_lr: 0.01, from_dice: 0.2}",
            "schedules:\n        - {epochs: 1, initial_lr: 0.03, from_dice: 0.2}",
        )
        assert finished.planned() == {
            **{"nnunet_finetune": 6, "choose": 6, "predict": 12, "score": 12, "slices": 6},
            **{name: 1 for name in AFTER_SCORES if name != "slices"},
        }
    finally:
        path.write_text(content)


def test_a_clone_with_copied_results_re_runs_nothing(finished: Project, fresh: Project):
    shutil.copytree(finished.folder / "results", fresh.folder / "results", copy_function=shutil.copy2)
    assert fresh.planned() == {}


def test_report_is_written(finished: Project):
    finished.snakemake("--report", "report.zip", *TINY)
    with zipfile.ZipFile(finished.folder / "report.zip") as archive:
        shown = archive.read("report/report.html").decode()
        pictures = {Path(name).name for name in archive.namelist()}
    assert {f"{name}.png" for name in CHARTS} | {"figure2.png", "failures.png", "table1.html"} <= pictures
    assert all(texts["alt"] in shown for texts in CHARTS.values()), "each picture has a label of its own"


def test_no_job_of_a_client_reads_data_of_another(finished: Project):
    """Data governance: raw files, slices and truth of a client are read by that client's jobs only.

    Federations have a process for each client, which alone opens its store: see tests/federation/test_simulated.py.
    """
    jobs = finished.jobs()
    assert not violations(jobs, "test", ["pooled"], SOURCES)
    assert {
        rule for rule in ("nnunet_plan_pooled",) if any(rule in said for said in violations(jobs, "test", [], SOURCES))
    }
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


def test_an_nnunet_of_all_labels_sees_no_validation_case_of_a_target(finished: Project):
    """Its row declares the training volumes; only the source's own validation volumes are watched."""
    results = finished.folder / "results/test"
    plans = [path.parents[1] for path in results.rglob("splits_final.json")]
    assert len(plans) == 10, "one of each client, and one of each setup that is pooled"
    for plan in plans:
        setup, client, *method = plan.relative_to(results).parts[:-1]
        clients = CLIENTS[setup] if method else (client,)
        splits = {
            f"{number}_{row.case}" if method else row.case: (name, row.split)
            for number, name in enumerate(clients)
            for row in ClientView(results / setup / name / "data").rows
        }
        (listed,) = json.loads((plan / DATASET / "splits_final.json").read_text())
        found = {splits[case] for case in [*listed["train"], *listed["val"]]}
        assert found == {(name, "train") for name in clients} | {(SOURCES[setup], "validation")} & {
            (name, "validation") for name in clients
        }


def test_a_hospital_adapts_its_own_target_from_shared_files(finished: Project, fresh: Project):
    """On a machine that holds nothing but the factory, what the source shares, and one target's raw data."""
    shared = ("ms/factory/seed0/model", "ms/philips/ours/seed0/branch", "ms/philips/ours/seed0/synthetic", "ms/ge/raw")
    for part in shared:
        shutil.copytree(finished.folder / "results/test" / part, fresh.folder / "results/test" / part)
    target = ("results/test/ms/ge/ours_paired/seed0/scores.csv", *TINY, "--allowed-rules", *OWN_RULES)
    assert fresh.planned(*target) == dict.fromkeys(("prepare_client", "adapt", "choose", "adapt_predict", "score"), 1)
    fresh.snakemake(*target, cores=1)
    cell = ("test", "ms", "ge", "ours_paired", "seed0")
    assert fresh.bytes_below(*cell) == finished.bytes_below(*cell)
    stores = {path.parent.name for path in (fresh.folder / "results/test/ms").rglob("data") if path.is_dir()}
    assert stores == {"ge"}


def test_truth_of_the_test_set_is_read_by_scoring_only(finished: Project):
    assert {job.rule for job in finished.jobs() if job.reads_truth()} == {"score", "slices"}


def test_every_job_leaves_a_log_and_its_cost(finished: Project):
    run = finished.folder / "results/test"
    logs = {str(path.relative_to(finished.folder)) for path in (run / "logs").rglob("*") if path.is_file()}
    assert logs == {records[0]["log"] for records in records_by_job(run)}
    costs = job_costs(run)
    assert len(costs) > 200 and Counter(job.rule for job in costs) == finished.planned("--forceall", *TINY)
    assert all(0 < job.cpu_seconds < 100 and 50 < job.peak_memory_mb < 3000 for job in costs)


def test_every_command_of_the_walkthrough(finished: Project, fresh: Project):
    """In the order of docs/walkthrough.md; the finished run stands for the demo."""
    shutil.copytree(finished.folder / "results", fresh.folder / "results", copy_function=shutil.copy2)
    found = commands("walkthrough.md")
    assert len(found) == 15 and set(REPLACED) < set(found)
    found += commands("add-a-dataset.md")
    # The demo of this copy is the tiny run.
    shutil.copy(fresh.folder / "config/test.yaml", fresh.folder / "config/demo.yaml")
    assert len(write_files_of("add-a-dataset.md", fresh)) == 3
    write_files_of("add-a-method.md", fresh)
    write_raw_data_of_the_page(fresh)
    outputs = {}
    for command in found:
        if command.startswith("fedfactory new-run"):
            write_raw_data_of_two_sites(fresh)
        done = run(fresh, REPLACED.get(command, command).replace("results/demo", "results/test"))
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        outputs[command] = done.stdout + done.stderr
    assert "Make it again" in outputs["fedfactory explain results/demo/mo/octa/ours/seed0/scores.csv"]
    assert re.search(r"\d+ files are as their jobs wrote them", outputs["fedfactory verify results/demo"])
    assert "nearest_grey: nothing violates the contract" in outputs[next(c for c in found if "check-method" in c)]
    heads = fresh.folder / "results/heads"
    for page in (heads, fresh.folder / "results/mine"):
        assert (page / "index.html").stat().st_size > 10_000 and (page / "gallery.png").is_file()
    assert "US" in (heads / "table1.md").read_text()
    table = (fresh.folder / "results/test/table1.md").read_text()
    assert "| Nearest grey |" in table
    # A voxel of one prediction is all it takes.
    prediction = next((fresh.folder / "results/test/mo/octa/ours/seed0/predictions").glob("*.nii.gz"))
    change_one_voxel(prediction)
    checked = run(fresh, "fedfactory verify results/test")
    assert checked.returncode == 1
    name = prediction.relative_to(fresh.folder / "results/test")
    assert f"{name}: is not what was recorded" in checked.stdout
    assert checked.stdout.count("is not what was recorded") == 1


def write_raw_data_of_two_sites(project: Project) -> None:
    """The tiny run has not the setup whose raw folders the page takes."""
    for client in ("pdw", "ct"):
        for number in range(8):
            patient = project.folder / f"results/test/mm/{client}/raw/patient{number}"
            for name, voxels in zip(("image", "mask"), ball_volume(seed=number), strict=True):
                write_nifti(patient / f"{name}.nii.gz", voxels)


def change_one_voxel(file: Path) -> None:
    image = nibabel.load(file)
    mask = np.asarray(image.dataobj).copy()
    mask[0, 0, 0] += 1
    nibabel.save(nibabel.Nifti1Image(mask, image.affine, image.header), file)


@pytest.mark.parametrize(
    "method", ["nnunet", "nnunet_tl", "ours", "ours_paired_strict", "fedmedgan", "sam", "mean_mask"]
)
def test_a_bundle_segments_an_image_as_the_cell_did(finished: Project, tmp_path: Path, monkeypatch, method: str):
    """Through MONAI's own command, from the raw image: the same mask, voxel by voxel."""
    monkeypatch.chdir(finished.folder)
    cell = Path("results/test/mo/ixi") / method / "seed0"
    about = write_bundle(cell, tmp_path / "bundle")
    assert not any(file.name == "images.npy" for file in (tmp_path / "bundle").rglob("*"))
    files = [finished.folder / "config/test.yaml"]
    config = load_config(read_run(files, finished.folder), files, finished.folder)
    entry = config.setups["mo"].clients["ixi"]
    cases = find_cases(entry.adapter, config.raw_folder("mo", "ixi"), entry.options, "ixi")
    case = next(case for case in cases if (cell / "predictions" / f"{case.name}.nii.gz").exists())
    (image,) = case.image.paths
    mask = tmp_path / "mask.nii.gz"
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", "configs/inference.json"]
    options = ["--bundle_root", ".", "--image", str(image.resolve()), "--output", str(mask), "--device", "cpu"]
    environment = {**os.environ, **SETTINGS}
    subprocess.run([*command, *options], cwd=tmp_path / "bundle", check=True, env=environment, capture_output=True)
    found, wanted = (nibabel.load(file) for file in (mask, cell / "predictions" / f"{case.name}.nii.gz"))
    np.testing.assert_array_equal(found.get_fdata(), wanted.get_fdata())
    np.testing.assert_array_equal(found.affine, wanted.affine)
    assert about.classes and json.loads((tmp_path / "bundle/configs/metadata.json").read_text())["network_data_format"]


def test_what_predicts_by_m_t_is_not_exported(finished: Project, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(finished.folder)
    with pytest.raises(FedFactoryError, match="predicts by more than its models .*it is not exported"):
        write_bundle(Path("results/test/mo/octa/universeg/seed0"), tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()
    with pytest.raises(FedFactoryError, match="has no predictions with a record"):
        write_bundle(Path("results/test/mo/octa/nowhere/seed0"), tmp_path / "bundle")
