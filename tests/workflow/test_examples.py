"""The worked examples of the documentation, executed as they stand there."""

import os
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT, ball_volume, write_nifti
from tests.workflow.conftest import Project

pytestmark = pytest.mark.workflow


def write_files_of(page: str, project: Project) -> list[str]:
    """Write what a page shows after ``<!-- file: ... -->``; returns the paths."""
    text = (ROOT / "docs" / page).read_text()
    found = re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```\n", text, re.S)
    for name, content in found:
        path = project.folder / name
        assert not path.exists(), f"{name} would replace a file of the project"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return [name for name, _ in found]


def fedfactory(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fedfactory.cli", *arguments],
        cwd=project.folder,
        env=os.environ | {"PYTHONPATH": str(project.folder / "src")},
        capture_output=True,
        text=True,
        check=False,
    )


CONFIGURATION = ("--configfile", "config/demo.yaml", "config/nearest_grey.yaml")


def test_the_method_of_the_page_passes_the_check(fresh: Project):
    assert len(write_files_of("add-a-method.md", fresh)) == 5
    listed = fedfactory(fresh, "methods", *CONFIGURATION)
    assert re.search(r"^nearest_grey +Nearest grey +rules/nearest_grey.smk +yes$", listed.stdout, re.M), listed.stderr
    checked = fedfactory(fresh, "check-method", "nearest_grey", *CONFIGURATION)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "nearest_grey: nothing violates the contract" in checked.stdout


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("return labels[", "return 9 + labels["), "the method returned label"),
        (("return labels[", "return labels.astype(int)["), "the contract asks for uint8"),
        (
            ("return labels[", "return np.random.randint(0, 2, images.shape, np.uint8) + 0 * labels["),
            "not deterministic",
        ),
    ],
)
def test_what_a_broken_method_is_told(fresh: Project, change, message):
    write_files_of("add-a-method.md", fresh)
    path = fresh.folder / "src/fedfactory/baselines/nearest_grey.py"
    path.write_text(path.read_text().replace(*change))
    checked = fedfactory(fresh, "check-method", "nearest_grey", *CONFIGURATION)
    assert checked.returncode == 1
    assert message in checked.stdout + checked.stderr


def test_labels_that_the_entry_does_not_declare_are_found(fresh: Project):
    """The method reads M_t, and its entry says that it does not."""
    write_files_of("add-a-method.md", fresh)
    path = fresh.folder / "config/nearest_grey.yaml"
    path.write_text(path.read_text().replace("uses_mt: true", "uses_mt: false"))
    checked = fedfactory(fresh, "check-method", "nearest_grey", *CONFIGURATION)
    assert checked.returncode == 1
    assert "it sees labels that its entry does not declare" in checked.stdout


def test_a_mask_that_lies_elsewhere_is_found(fresh: Project):
    """A method that writes its own files, with another affine."""
    write_files_of("add-a-method.md", fresh)
    path = fresh.folder / "workflow_scripts/nearest_grey_predict.py"
    elsewhere = """    import nibabel
    import numpy

    for file in arguments.out.iterdir():
        mask = numpy.asarray(nibabel.load(file).dataobj)
        nibabel.save(nibabel.Nifti1Image(mask, numpy.diag([9, 9, 9, 1])), file)


if __name__"""
    path.write_text(path.read_text().replace("\n\nif __name__", elsewhere, 1))
    checked = fedfactory(fresh, "check-method", "nearest_grey", *CONFIGURATION)
    assert checked.returncode == 1
    assert "does not lie in the geometry of the raw image" in checked.stdout, checked.stderr


def test_data_of_another_client_are_found(fresh: Project):
    write_files_of("add-a-method.md", fresh)
    path = fresh.folder / "rules/nearest_grey.smk"
    other = 'client_file("data"),\n        LAYOUT.client("{setup}", "philips", "data"),\n    output:\n        directory'
    path.write_text(path.read_text().replace('client_file("data"),\n    output:\n        directory', other, 1)
                    .replace("--data {input} --out", "--data {input[0]} --out"))  # fmt: skip
    checked = fedfactory(fresh, "check-method", "nearest_grey", *CONFIGURATION)
    assert checked.returncode == 1
    assert re.search(r"rule nearest_grey_fit, .* reads private data of ms/philips, ms/siemens", checked.stdout)


def test_the_data_set_of_the_page_runs(fresh: Project):
    assert len(write_files_of("add-a-dataset.md", fresh)) == 3
    for number in range(8):
        image, mask = ball_volume(seed=number)
        patient = fresh.folder / "data/ultrasound" / f"P{number:02d}"
        write_nifti(patient / "us.nii.gz", 200 - image)
        write_nifti(patient / "head.nii.gz", mask)
        write_nifti(fresh.folder / f"data/pdw/imagesTr/case{number}_0000.nii.gz", image)
        write_nifti(fresh.folder / f"data/pdw/labelsTr/case{number}.nii.gz", mask)
    fresh.snakemake("--configfile", "config/heads.yaml")
    assert "US" in (fresh.folder / "results/heads/table1.md").read_text()
    assert (fresh.folder / "results/heads/gallery.png").is_file()
