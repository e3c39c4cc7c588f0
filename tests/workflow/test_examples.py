"""The worked examples of the documentation, executed as they stand there."""

import re
import shlex
import subprocess

import pytest

from tests.workflow.conftest import Project
from tests.workflow.examples import run, write_files_of, write_raw_data_of_the_page

pytestmark = pytest.mark.workflow


def fedfactory(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(project, shlex.join(["fedfactory", *arguments]))


CONFIGURATION = ("--configfile", "config/demo.yaml", "config/nearest_grey.yaml")


def test_the_method_of_the_page_passes_the_check(fresh: Project):
    assert len(write_files_of("add-a-method.md", fresh)) == 5
    listed = fedfactory(fresh, "methods", *CONFIGURATION)
    assert re.search(r"^nearest_grey +Nearest grey +rules/nearest_grey.smk +yes$", listed.stdout, re.M), listed.stderr
    checked = fedfactory(fresh, "check-method", "nearest_grey", *CONFIGURATION)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "nearest_grey: nothing violates the contract" in checked.stdout


def broken(project: Project, file: str, old: str, new: str) -> None:
    """Write the method of the page with one thing changed."""
    path = project.folder / file
    if not path.exists():
        write_files_of("add-a-method.md", project)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


MODULE = "src/fedfactory/methods/nearest_grey.py"


def test_a_method_that_does_not_run_is_told_why(fresh: Project):
    broken(fresh, MODULE, "return labels[", "return 9 + labels[")
    checked = fedfactory(fresh, "check-method", "nearest_grey", *CONFIGURATION)
    assert checked.returncode == 1
    assert "the method returned label" in checked.stdout + checked.stderr


def test_labels_that_the_entry_does_not_declare_are_found(fresh: Project):
    """The method reads M_t, and its entry says that it does not."""
    broken(fresh, "config/nearest_grey.yaml", "uses_mt: true", "uses_mt: false")
    checked = fedfactory(fresh, "check-method", "nearest_grey", *CONFIGURATION)
    assert checked.returncode == 1
    assert "it sees labels that its entry does not declare" in checked.stdout


def test_all_that_violates_the_contract_is_named_at_once(fresh: Project):
    """A method that draws, writes its own files with another affine, and reads another client's slices."""
    drawn = "np.random.randint(0, 2, images.shape, np.uint8) + 0 * labels["
    broken(fresh, MODULE, "return labels[", f"return {drawn}")
    elsewhere = """    import nibabel
    import numpy

    for file in arguments.out.glob("*.nii.gz"):
        mask = numpy.asarray(nibabel.load(file).dataobj)
        nibabel.save(nibabel.Nifti1Image(mask, numpy.diag([9, 9, 9, 1])), file)


if __name__"""
    broken(fresh, "workflow_scripts/nearest_grey_predict.py", "\n\nif __name__", elsewhere)
    rules = "rules/nearest_grey.smk"
    other = 'client_file("data"),\n        LAYOUT.client("{setup}", "philips", "data"),\n    output:\n        directory'
    broken(fresh, rules, 'client_file("data"),\n    output:\n        directory', other)
    broken(fresh, rules, "--data {input} --out", "--data {input[0]} --out")
    checked = fedfactory(fresh, "check-method", "nearest_grey", *CONFIGURATION)
    assert checked.returncode == 1
    assert re.search(r"rule nearest_grey_fit, .* reads private data of ms/philips, ms/siemens", checked.stdout)
    assert "does not lie in the geometry of the raw image" in checked.stdout, checked.stderr
    assert "it is not deterministic" in checked.stdout


def test_the_data_set_of_the_page_runs(fresh: Project):
    assert len(write_files_of("add-a-dataset.md", fresh)) == 3
    write_raw_data_of_the_page(fresh)
    fresh.snakemake("--configfile", "config/heads.yaml")
    assert "US" in (fresh.folder / "results/heads/table1.md").read_text()
    assert (fresh.folder / "results/heads/gallery.png").is_file()
