"""What the documentation says exists, exists."""

import re
import shutil
import subprocess
import sys

import pytest

from fedfactory.data import adapters
from tests.conftest import ROOT, ball_volume, write_nifti

PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "config/README.md",
    ROOT / "results/README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_adapter_is_documented():
    modules = {path.stem for path in (ROOT / "src/fedfactory/data/adapters").glob("[a-z]*.py")}
    assert adapters.known() == sorted(modules)
    text = (ROOT / "config/README.md").read_text()
    assert all(f"`{name}`" in text for name in modules)


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
    cases, problems = adapters.survey_cases("template", release, {"prefix": "P"}, "client x of setup y")
    assert [(case.name, case.label is not None) for case in cases] == [("P1", True), ("P2", False)]
    assert [problem.partition(" is missing")[0] for problem in problems] == [
        f"client x of setup y: {release}/P3/image.nii.gz"
    ]


def test_every_configuration_key_is_documented():
    text = (ROOT / "config/README.md").read_text()
    run = (ROOT / "config/demo.yaml").read_text()
    for key in re.findall(r"^(\w+):", run, re.M):
        assert f"`{key}" in text, key


def test_the_pages_build_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", str(ROOT / "docs"), str(tmp_path / "site")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert pages == {path.stem for path in (tmp_path / "site").glob("*.html")} - {"genindex", "search"}
    index = (tmp_path / "site/index.html").read_text()
    assert all(f'href="{name}.html"' in index for name in pages - {"index"}), "every page is in the table of contents"
