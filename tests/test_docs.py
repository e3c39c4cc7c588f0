"""What the documentation says exists, exists."""

import re
import shutil
import subprocess
import sys

import pytest

from fedfactory.data import adapters
from fedfactory.methods import cards
from fedfactory.orchestration.declared import methods
from tests.conftest import ROOT, ball_volume, write_nifti
from tests.workflow.examples import files_of

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "config/README.md",
    ROOT / "results/README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_that_a_page_names_is_there(page):
    """Modules, scripts and rules in back quotes: a path from the project's folder or from within the package; tests."""
    text = page.read_text()
    shown = re.findall(r"<!-- file: (\S+) -->", text)
    for name in re.findall(r"`([\w/]+/\w+\.(?:py|smk))`", text):
        places = (ROOT, ROOT / "src/fedfactory")
        assert name in shown or any((place / name).is_file() for place in places), name
    for file, test in re.findall(r"`([\w/]+\.py)::(\w+)`", text):
        assert f"def {test}(" in (ROOT / file).read_text(), test


def test_the_cards_are_those_of_the_declarations():
    assert cards.page(ROOT) == (ROOT / cards.PAGE).read_text(), "run: python -m fedfactory.methods.cards"
    for method in methods().values():
        assert method.card.failures and (method.card.papers or method.name == "mean_mask"), method.name


def test_the_template_of_an_adapter_lists_what_a_release_holds(tmp_path, monkeypatch):
    """Copied into the package as its first lines say, on a release in the layout that they describe."""
    (tmp_path / "adapters").mkdir()
    shutil.copy(ROOT / "templates/adapter.py", tmp_path / "adapters/template.py")
    monkeypatch.setattr(adapters, "__path__", [*adapters.__path__, str(tmp_path / "adapters")])
    monkeypatch.setattr(adapters, "known", lambda: ["template"])
    image, mask = ball_volume()
    release = tmp_path / "release"
    for name in ("P1/image", "P1/label", "P2/image", "P3/label"):
        write_nifti(release / f"{name}.nii.gz", mask if name.endswith("label") else image)
    found = adapters.survey_cases("template", release, {"prefix": "P"}, "client x of setup y")
    assert [(case.name, case.label is not None) for case in found.cases] == [("P1", True), ("P2", False)]
    assert [problem.partition(" is missing")[0] for problem in found.problems] == [
        f"client x of setup y: {release}/P3/image.nii.gz"
    ]


def test_the_template_of_a_method_is_the_page_s():
    template = ROOT / "templates/method"
    files = {str(file.relative_to(template)): file.read_text() for file in template.rglob("*") if file.is_file()}
    assert files == dict(files_of("add-a-method.md"))


def test_the_pages_build_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", str(ROOT / "docs"), str(tmp_path / "site")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert pages == {path.stem for path in (tmp_path / "site").glob("*.html")} - {"genindex", "search"}
    index = (tmp_path / "site/index.html").read_text()
    assert all(f'href="{name}.html"' in index for name in pages - {"index"}), "every page is in the table of contents"


def test_lines_have_at_most_120_columns():
    """Ruff looks at Python; the schema, the lock and tables of data are generated."""
    kinds = ("*.smk", "Snakefile", "Makefile", "*.yaml", "*.yml", "*.toml", "*.sh")
    listed = subprocess.run(["git", "ls-files", "--", *kinds], cwd=ROOT, capture_output=True, text=True, check=True)
    names = [name for name in listed.stdout.split() if name != "config/schema.yaml"]
    assert len(names) > 30
    long = [
        f"{name}:{number}"
        for name in names
        for number, line in enumerate((ROOT / name).read_text().splitlines(), start=1)
        if len(line) > 120
    ]
    assert not long
