"""check-data: what a data root holds, beside what a complete copy holds."""

import hashlib
import json
import os

import numpy as np
import pytest
import yaml

from fedfactory.data.adapters import find_cases
from fedfactory.data.preprocessing import ClientTask, changed_labels, look_at
from fedfactory.data.splits import SplitSizes
from fedfactory.errors import FedFactoryError
from fedfactory.orchestration.cli import main
from tests.conftest import ROOT, ball_volume, write_nifti

IMAGE, MASK = ball_volume()


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project whose paper configuration reads a data root of this test."""
    for name in ("config", "rules", "Snakefile"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_text(f"data: {{root: {tmp_path / 'data'}}}\n")
    return tmp_path


def synthstrip(root, subjects):
    for modality, count in subjects.items():
        for number in range(count):
            folder = root / "synthstrip" / f"{modality}_{number:02d}"
            write_nifti(folder / "image.nii.gz", IMAGE, np.diag([1, 1, 2, 1.0]))
            write_nifti(folder / "mask.nii.gz", MASK, np.diag([1, 1, 2, 1.0]))


def check(capsys, *options):
    status = main(["check-data", "mm", "--configfile", "config/paper.yaml", "own.yaml", *options])
    return status, capsys.readouterr().out


def test_a_complete_copy_is_counted_and_split_as_in_the_paper(project, capsys):
    synthstrip(project / "data", {"cim_pet": 20, "cim_ct": 20, "fsm_pd": 32, "fsm_t2": 36})
    status, said = check(capsys)
    assert status == 0
    rows = {line.split()[0]: " ".join(line.split()) for line in said.splitlines() if " of " in line}
    assert rows["PET"] == "PET 20 of 20 20 of 20 20 of 20 14/3/3 14/3/3 24x22x8 1x1x2"
    assert "24/4/4 24/4/4" in rows["PDw"] and "26/5/5 26/5/5" in rows["T2w"]
    assert "CC BY 4.0" in said and "CERMEP" in said


def test_all_that_is_missing_is_named(project, capsys):
    synthstrip(project / "data", {"cim_pet": 4, "cim_ct": 20, "fsm_pd": 32})
    root = project / "data/synthstrip"
    for number in range(2):
        (root / f"cim_ct_{number:02d}/image.nii.gz").unlink()
    (root / "fsm_pd_00/image.nii.gz").write_bytes(b"half a file")
    status, said = check(capsys)
    assert status == 1
    assert "4 of 20" in said and "18 of 20" in said
    assert "cim_ct_00/image.nii.gz is missing" in said and "cim_ct_01/image.nii.gz is missing" in said
    assert "fsm_pd_00/image.nii.gz: cannot be read" in said or "fsm_pd_00/image.nii.gz: is no NIfTI" in said
    assert "client pet of setup mm: of 4 labelled subjects none is left for the test set" in said
    assert "client t2w of setup mm: adapter 'synthstrip' found no image" in said
    with pytest.raises(FedFactoryError, match=r"\(1 more; fedfactory check-data lists them\)"):
        find_cases("synthstrip", root, {"folders": "*_ct_*"}, "client ct of setup mm")


def test_an_image_at_two_clients_is_remarked(project, capsys):
    synthstrip(project / "data", {"cim_pet": 20, "cim_ct": 20, "fsm_pd": 32, "fsm_t2": 36})
    said = check(capsys)[1]
    first, second = (project / f"data/synthstrip/cim_{name}_00/image.nii.gz" for name in ("pet", "ct"))
    assert f"{second} has the same bytes as {first}, of PET; remove one" in said


def test_a_source_with_too_few_labels_is_told_before_its_job_is(project, capsys):
    """Of three labelled subjects one tests and none is left to choose by."""
    synthstrip(project / "data", {"cim_pet": 20, "cim_ct": 20, "fsm_pd": 3, "fsm_t2": 36})
    with (project / "own.yaml").open("a") as file:
        file.write("split: {validation: 0.15, test: 0.34}\n")
    status, said = check(capsys)
    assert status == 1 and "client pdw of setup mm: the source has no labelled validation volume" in said


def test_a_folder_that_may_not_be_entered(project, capsys, monkeypatch):
    """Whoever tests may be root, who may enter all."""
    synthstrip(project / "data", {"cim_pet": 20, "cim_ct": 20, "fsm_pd": 32, "fsm_t2": 36})
    closed, listdir = project / "data/synthstrip/cim_ct_03", os.listdir

    def refusing(folder="."):
        if str(folder) == str(closed):
            raise PermissionError(13, "Permission denied", str(folder))
        return listdir(folder)

    monkeypatch.setattr(os, "listdir", refusing)
    assert main(["check-data", "mm", "--configfile", "config/paper.yaml", "own.yaml"]) == 1
    assert f"{closed}: may not be read; correct its permissions" in "".join(capsys.readouterr())


def test_headers_pass_where_voxels_do_not(project, capsys):
    synthstrip(project / "data", {"cim_pet": 20, "cim_ct": 20, "fsm_pd": 32, "fsm_t2": 36})
    file = project / "data/synthstrip/fsm_t2_07/image.nii.gz"
    write_nifti(file, np.full_like(IMAGE, np.nan), np.diag([1, 1, 2, 1.0]))
    assert check(capsys)[0] == 0
    status, said = check(capsys, "--voxels")
    assert status == 1 and "fsm_t2_07/image.nii.gz: 4224 voxels are NaN" in said


def test_a_file_that_is_no_longer_the_one_of_the_checksum(project, capsys):
    synthstrip(project / "data", {"cim_pet": 20, "cim_ct": 20, "fsm_pd": 32, "fsm_t2": 36})
    name = "fsm_pd_03/image.nii.gz"
    table = yaml.safe_load((ROOT / "config/data.yaml").read_text())
    digest = hashlib.sha256((project / "data/synthstrip" / name).read_bytes()).hexdigest()
    table["releases"]["synthstrip"]["checksums"] = "mine.sha256"
    (project / "config").unlink()
    (project / "config").mkdir()
    for path in (ROOT / "config").iterdir():
        if path.name != "data.yaml":
            (project / "config" / path.name).symlink_to(path)
    (project / "config/data.yaml").write_text(json.dumps(table))
    (project / "config/mine.sha256").write_text(f"{digest}  {name}\n")
    assert check(capsys)[0] == 0
    write_nifti(project / "data/synthstrip" / name, IMAGE + 1, np.diag([1, 1, 2, 1.0]))
    status, said = check(capsys)
    assert status == 1 and f"{name}: its SHA-256 is" in said and "copy the file again" in said
    (project / "config/mine.sha256").write_text(f"{digest}  away/image.nii.gz\n")
    status, said = check(capsys)
    assert status == 1 and "1 of 1 files that have a checksum are missing, as away/image.nii.gz" in said
    for line, wrong in (
        (f"{digest} {name}", "is not '<SHA-256>  <path>'"),
        (f"{digest}  ../../x", "leaves its folder"),
    ):
        (project / "config/mine.sha256").write_text(f"{line}\n")
        assert main(["check-data", "mm"]) == 1
        error = capsys.readouterr().err
        assert "mine.sha256, line 1" in error and wrong in error


def test_phantoms_and_unknown_setups_are_refused(project, capsys):
    assert main(["check-data", "mm", "--configfile", "config/demo.yaml"]) == 1
    assert "the workflow makes phantoms itself" in capsys.readouterr().err
    assert main(["check-data", "mn"]) == 1
    assert "setup 'mn': no run on files has it; known are mm" in capsys.readouterr().err


def test_the_table_names_every_client_and_release_of_the_three_setups():
    table = yaml.safe_load((ROOT / "config/data.yaml").read_text())
    for name in ("ms", "mm", "mo"):
        setup = yaml.safe_load((ROOT / f"config/setups/{name}.yaml").read_text())
        assert set(table["clients"][name]) == set(setup["clients"])
        assert {client["raw"] for client in setup["clients"].values()} <= set(table["releases"])


@pytest.mark.parametrize("kind", ["lines", "ball"])
def test_labels_that_do_not_survive_their_slices_are_remarked(kind: str, tmp_path):
    """Lines of one pixel on slices of 32 pixels become one; a ball stays a ball."""
    task = ClientTask("s", "c", ("object",), {1: 1}, "RAS", 32, 5, (0.1, 99.9), SplitSizes(0.2, 0.2), 0, False, True, 0)
    rng = np.random.default_rng(0)
    for number in range(3):
        image, mask = ball_volume((128, 128, 4), seed=number)
        if kind == "lines":
            mask = np.zeros_like(mask)
            mask[4:124, 6:122:6] = 1
            image = rng.normal(20, 4, image.shape).astype(np.float32) + 100 * mask
        write_nifti(tmp_path / f"images/{number}.nii.gz", image)
        write_nifti(tmp_path / f"labels/{number}.nii.gz", mask)
    cases = find_cases("generic", tmp_path, {"images": "images", "labels": "labels"}, "c")
    said = list(changed_labels(task, [look_at(task, case, "train") for case in cases]))
    assert bool(said) == (kind == "lines"), said
    pieces = "on slices of 32 pixels the number of connected pieces of labels changes by -"
    assert any(pieces in sentence for sentence in said) == (kind == "lines")
