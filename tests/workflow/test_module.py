"""The workflow as a Snakemake module of another one, from a folder that holds nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.workflow

SNAKEFILE = f"""
configfile: "{ROOT}/config/test.yaml"

module fedfactory:
    snakefile: "{ROOT}/workflow/Snakefile"
    config: config

use rule * from fedfactory
"""


def snakemake(folder: Path, *arguments: str) -> str:
    """Run Snakemake in a folder; what it prints."""
    command = [str(Path(sys.executable).parent / "snakemake"), "--cores", "1", *arguments]
    settings = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_another_workflow_uses_this_one_from_an_empty_folder(tmp_path: Path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    plan = snakemake(tmp_path, "--dry-run")
    assert "everything" in plan, "its default target is this workflow's"
    assert "adapt_predict" in plan
    snakemake(tmp_path, "results/test/ms/ge/data")
    made = {path.name for path in (tmp_path / "results/test/ms/ge").iterdir() if path.name[0] != "."}
    assert made == {"raw", "data", "truth", "preview.npz"}
    assert {path.name for path in tmp_path.iterdir()} == {"Snakefile", "results", ".snakemake"}
