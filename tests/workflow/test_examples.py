"""The worked examples of the documentation, executed as they stand there."""

import re
import shlex
import subprocess

import pytest

from tests.workflow.conftest import Project
from tests.workflow.examples import run, write_files_of

pytestmark = pytest.mark.workflow


def fedfactory(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(project, shlex.join(["fedfactory", *arguments]))


CONFIGURATION = ("--configfile", "config/demo.yaml", "config/nearest_grey.yaml")


def test_the_method_of_the_page_is_a_page_of_wiring(fresh: Project):
    """That it passes the check, the walkthrough shows."""
    files = write_files_of("add-a-method.md", fresh)
    science, wiring = files[0], files[1:]
    assert science == MODULE
    assert len(files) <= 3
    assert sum(len((fresh.folder / name).read_text().splitlines()) for name in wiring) <= 60
    listed = fedfactory(fresh, "methods", *CONFIGURATION)
    assert re.search(r"^nearest_grey +Nearest grey +nearest_grey +M_t$", listed.stdout, re.M), listed.stderr


def broken(project: Project, file: str, old: str, new: str) -> None:
    """Write the method of the page with one thing changed."""
    path = project.folder / file
    if not path.exists():
        write_files_of("add-a-method.md", project)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


MODULE = "src/fedfactory/methods/nearest_grey/model.py"
DECLARATION = "src/fedfactory/methods/nearest_grey/declaration.py"
SCIENCE = "fedfactory.methods.nearest_grey.model"
# What opens a store by a way round the view that a job is given.
IMPORTS = "from fedfactory.orchestration.labels import Labels\nfrom fedfactory.data.store import ClientView\n"


def test_a_method_that_does_not_run_is_told_why(fresh: Project):
    broken(fresh, MODULE, "return labels[", "return 9 + labels[")
    checked = fedfactory(fresh, "check-method", "nearest_grey", *CONFIGURATION)
    assert checked.returncode == 1
    assert "the method returned label" in checked.stdout + checked.stderr


def test_labels_that_the_entry_does_not_declare_are_found(fresh: Project):
    """The method reads M_t, and its declaration says that it does not; nor does a way round the view help."""
    broken(fresh, DECLARATION, "few_shot=None", "few_shot=0")
    checked = fedfactory(fresh, "check-method", "nearest_grey", *CONFIGURATION)
    assert checked.returncode == 1
    assert "this job asks for slices of M_t, which its method does not declare" in checked.stdout + checked.stderr
    view = "ClientView(task.view.folder, Labels(few_shot=None))"
    broken(fresh, MODULE, "task.view.few_shot()", f"{view}.few_shot()")
    broken(fresh, MODULE, "from fedfactory.methods.contract", f"{IMPORTS}from fedfactory.methods.contract")
    checked = fedfactory(fresh, "check-method", "nearest_grey", *CONFIGURATION)
    assert checked.returncode == 1
    assert "it sees labels that its method does not declare" in checked.stdout


def test_labels_in_the_raw_data_beside_the_store_are_found(fresh: Project):
    raw = "len(list((trained.view.folder.parent / 'raw').rglob('*_gt.nii.gz')))"
    broken(fresh, MODULE, "    labels = np.array(", f"    shift = {raw}\n    labels = np.array(")
    broken(fresh, MODULE, "[..., None] - means)", "[..., None] - means - shift)")
    checked = fedfactory(fresh, "check-method", "nearest_grey", *CONFIGURATION, "--keep", "kept")
    assert checked.returncode == 1
    assert "it sees labels that its method does not declare" in checked.stdout, checked.stderr
    again = fedfactory(fresh, "check-method", "nearest_grey", *CONFIGURATION, "--keep", "kept")
    assert again.returncode == 1 and "kept is not empty" in again.stderr


def test_a_strict_cell_that_hangs_on_validation_labels_is_found(fresh: Project):
    """Validation volumes may choose a state for one row; the segmenter looks at them again, for both rows."""
    broken(fresh, DECLARATION, "FIT, PREDICT, Method", "CHOOSE, FIT, PREDICT, Method")
    broken(fresh, DECLARATION, "rules=(FIT, PREDICT)", f'choose="{SCIENCE}:choose",\n    rules=(FIT, CHOOSE, PREDICT)')
    broken(fresh, DECLARATION, "Labels(few_shot=None)", "Labels(few_shot=None, validation=True)")
    broken(fresh, "config/nearest_grey.yaml", "centralised: false", "centralised: false\n    strict: true")
    chosen = "def choose(trained, volumes):\n    return {State(0, 'greys'): 0.5}\n\n\n"
    broken(fresh, MODULE, "def segmenter(", f"{chosen}def segmenter(")
    seen = "ClientView(trained.view.folder, Labels(validation=True)).labelled_volumes('validation')"
    broken(
        fresh,
        MODULE,
        "    labels = np.array(",
        f"    shift = sum(v.labels.mean() for v in {seen})\n    labels = np.array(",
    )
    broken(fresh, MODULE, "[..., None] - means)", "[..., None] - means - shift)")
    imports = "from fedfactory.evaluation.choice import State\n" + IMPORTS
    broken(fresh, MODULE, "from fedfactory.methods.contract", f"{imports}from fedfactory.methods.contract")
    checked = fedfactory(fresh, "check-method", "nearest_grey", *CONFIGURATION)
    assert checked.returncode == 1
    assert "nearest_grey_strict: the predictions of" in checked.stdout, checked.stdout + checked.stderr
    assert "nearest_grey: the predictions of" not in checked.stdout


def test_all_that_violates_the_contract_is_named_at_once(fresh: Project):
    """A method that draws, and whose rules read another client's slices and put the masks elsewhere."""
    drawn = "np.random.randint(0, 2, images.shape, np.uint8) + 0 * labels["
    broken(fresh, MODULE, "return labels[", f"return {drawn}")
    broken(fresh, DECLARATION, "rules=(FIT, PREDICT)", 'rules=(FIT, Rule("moved_predict"))')
    broken(fresh, DECLARATION, "PREDICT, Method", "Method, Rule")
    rules = """use rule predict as moved_predict with:
    input:
        model=cell_file("model"),
        others=LAYOUT.client("{setup}", "philips", "data"),
        data=client_file("data"),
        choice=[],
    wildcard_constraints:
        method="nearest_grey",
"""
    (fresh.folder / "rules/methods/nearest_grey.smk").write_text(rules)
    broken(fresh, "src/fedfactory/methods/contract.py", "np.asarray(geometry.affine)", "np.diag([9, 9, 9, 1])")
    checked = fedfactory(fresh, "check-method", "nearest_grey", *CONFIGURATION)
    assert checked.returncode == 1
    assert re.search(r"rule moved_predict, .* reads private data of ms/philips, ms/siemens", checked.stdout)
    assert "does not lie in the geometry of the raw image" in checked.stdout, checked.stderr
    assert "it is not deterministic" in checked.stdout


def test_parameters_of_a_method_without_any_are_refused(fresh: Project):
    broken(fresh, "config/nearest_grey.yaml", "parameters: {}", "parameters: {bins: 3}")
    refused = fresh.snakemake("--dry-run", *CONFIGURATION, check=False)
    assert "key 'methods.nearest_grey.parameters.bins': this method has no parameters" in refused.stderr
