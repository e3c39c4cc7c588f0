"""What the worked examples of the documentation show, written into a copy of the project."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT, ball_volume, write_nifti
from tests.workflow.conftest import Project


def files_of(page: str) -> list[tuple[str, str]]:
    """What a page shows after ``<!-- file: ... -->``: paths and contents."""
    text = (ROOT / "docs" / page).read_text()
    return re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```\n", text, re.S)


def write_files_of(page: str, project: Project) -> list[str]:
    """Write the files that a page shows; returns the paths."""
    found = files_of(page)
    for name, content in found:
        path = project.folder / name
        assert not path.exists(), f"{name} would replace a file of the project"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return [name for name, _ in found]


def write_raw_data_of_the_page(project: Project) -> None:
    """Raw data as docs/add-a-dataset.md describes them: an ultrasound site, and a source in nnU-Net's layout."""
    for number in range(8):
        image, mask = ball_volume(seed=number)
        patient = project.folder / "data/ultrasound" / f"P{number:02d}"
        write_nifti(patient / "us.nii.gz", 200 - image)
        write_nifti(patient / "head.nii.gz", mask)
        write_nifti(project.folder / f"data/pdw/imagesTr/case{number}_0000.nii.gz", image)
        write_nifti(project.folder / f"data/pdw/labelsTr/case{number}.nii.gz", mask)


# What stands for a command here, and why.
REPLACED = {
    # The environment is this one; the rest of the target is this command.
    "make demo": "snakemake --cores 2",
    # A shell of a test is that of its environment.
    ". .venv/bin/activate": "true",
}


def commands(page: str) -> list[str]:
    """Every line of a page's shell blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / page).read_text(), re.S)
    return [line.partition("  #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


def run(project: Project, command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "PYTHONPATH": str(project.folder / "src"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    return subprocess.run(
        ["bash", "-c", command], cwd=project.folder, env=environment, capture_output=True, text=True, check=False
    )
