"""A copy of the project, to run, edit and break."""

import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TINY = ("--configfile", "config/test.yaml")
"""Of Snakemake: the run at its smallest size."""
_PARTS = ("Snakefile", "config", "envs", "profiles", "report", "rules", "src", "workflow_scripts")


def copy_project(folder: Path) -> None:
    """Copy what the workflow needs into a folder, which must not be there yet."""
    folder.mkdir(parents=True)
    for part in _PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy2(source, folder / part)
