"""The workflow before anything has run: plans, refusals, and small runs of their own."""

import csv
import hashlib
import json
import re
import subprocess

import nibabel
import numpy as np
import pytest

from fedfactory.orchestration.audit import violations
from tests.conftest import ROOT, real_head
from tests.workflow.conftest import TINY, Project, edit

pytestmark = pytest.mark.workflow

SOURCES = {"ms": "philips", "mo": "oasis"}


def test_only_a_method_that_is_declared_centralised_reads_the_sources_store(fresh: Project):
    """The control with real source images: shown with a dagger, and the one job that reads two clients' data."""
    path = fresh.folder / "config/test.yaml"
    control = """  upper:
    label: Real source
    rules: ours
    centralised: true
    parameters: {like: ours, base: ours, target: {source_samples: real}}

"""
    edit(path, "# The data factory of every", control + "# The data factory of every")
    jobs = fresh.jobs()
    assert not violations(jobs, "test", ["upper", "pooled"], SOURCES)
    both = [job for job in jobs if job.rule == "adapt" and "/upper/" in job.outputs[0]]
    assert len(both) == 6 and all(len(job.private_of("test")) == 2 for job in both)
    assert len(violations(jobs, "test", ["pooled"], SOURCES)) == len(both)
    edit(path, "label: Real source\n    rules: ours\n    centralised: true",
         "label: Real source\n    rules: ours\n    centralised: false")  # fmt: skip
    result = fresh.snakemake("--dry-run", *TINY, check=False)
    assert "centralised if, and only if, its source samples are 'real'" in result.stderr


def test_an_oracle_reads_truth_by_a_rule_of_its_own_and_stands_in_another_table(fresh: Project):
    path = fresh.folder / "config/test.yaml"
    edit(fresh.folder / "config/base.yaml", "prompt: full_box", "prompt: oracle_box")
    refused = fresh.snakemake("--dry-run", *TINY, check=False)
    assert "methods.sam.parameters.prompt': 'oracle_box' is drawn from the truth" in refused.stderr
    edit(path, "run: test\n", "run: test\ntable: bounds\n")
    jobs = fresh.jobs()
    assert not violations(jobs, "test", ["pooled"], SOURCES)
    told = [job for job in jobs if job.rule == "sam_predict_oracle"]
    assert len(told) == 2 * 6 and all("/sam" in job.outputs[0] and job.reads_truth() for job in told)
    assert {job.rule for job in jobs if job.reads_truth()} == {"score", "sam_predict_oracle"}


def test_published_weights_are_accepted_checked_and_used(fresh: Project):
    """A file of UniverSeg's published form with random values, dropped in by hand."""
    import torch

    from fedfactory.methods.universeg.network import UniverSeg

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


@pytest.mark.parametrize(("name", "adaptations"), [("demo", 2), ("paper", 1)])
def test_dry_run_plans_every_cell(fresh: Project, name, adaptations):
    counts = fresh.planned("--configfile", f"config/{name}.yaml")
    # The demo has the rows beyond the paper as well: two networks of the source, four that go on at the target, and
    # three federations, two of which are bounds.
    beyond = 9 if name == "demo" else 0
    bounds, strict = 5, 3 + adaptations
    assert counts["score"] == 9 * (8 + adaptations + bounds + beyond + strict) + 3
    assert counts["feddg_train"] == counts["fedmedgan_train"] == counts["universeg_predict"] == 9
    assert counts["sam_tune"] == 18 and counts["sam_predict"] == 2 * 18, "both protocols, from one training"
    assert ("sam_pretrain" in counts) == (name == "demo") and ("weights" in counts) == (name == "paper")
    assert counts["nnunet_train"] == 3 * (2 + beyond // 4) and counts["nnunet_train_target"] == 9
    assert counts["fit"] == 9 * (1 + beyond // 2)
    assert counts["nnunet_train_pooled"] == 3 and counts["fedavg_train"] == 3 * (1 + beyond // 3)
    assert counts["source_branch"] == counts["synthetic_source"] == counts["factory_look"] == 3
    assert counts["adapt"] == 9 * adaptations and counts["adapt_predict"] == 2 * 9 * adaptations
    assert counts["nnunet_finetune"] == 2 * 9 and counts["choose"] == 9 * strict
    assert ("phantom_site" in counts) == (name == "demo")
    assert counts["factory_train"] == counts["factory_pictures"] == 3
    assert counts["factory_key"] == 12, "also of the clients outside, whose look starts from the nearest"
    assert counts["factory_quality"] == 9


def test_a_run_can_do_without_a_factory(fresh: Project):
    own = fresh.folder / "config/own.yaml"
    own.write_text("base: config/demo.yaml\nfactory: null\nmethods: {ours: null, ours_paired: null}\n")
    counts = fresh.planned("--configfile", "config/own.yaml")
    assert counts["score"] == 9 * (8 + 5 + 9 + 3) + 3
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
    edit(fresh.folder / "config/demo.yaml", "slices: true", "slice: true")
    result = fresh.snakemake("--dry-run", check=False)
    assert result.returncode != 0
    assert "config/demo.yaml: key 'slice': is unknown; known are" in result.stderr
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
    text = re.sub(r"^nsd_tolerance_mm: .*\n", "", text, flags=re.M)
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
