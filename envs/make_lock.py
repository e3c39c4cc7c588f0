"""Resolve the dependencies of pyproject.toml and write the lock and the conda environment from one list.

Run `make lock` after a change of pyproject.toml. Uses the standard library and pip only.
"""

import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
CONDA = ROOT / "envs" / "fedfactory.yaml"
# torch names the versions of its CUDA libraries itself; listing them would force them on machines without a GPU.
LEFT_TO_TORCH = ("nvidia-", "cuda-", "triton")
# Of the same maker, and small: it reads a card's energy.
OWN = ("nvidia-ml-py",)


def resolve(constraints: list[str]) -> list[str]:
    """Resolve to `name==version` lines, in alphabetical order."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["dev"],
        *project["build-system"]["requires"],
    ]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        options = [item for file in constraints for item in ("--constraint", file)]
        subprocess.run([*command, "--report", str(report), *options, *wanted], check=True)
        found = [entry["metadata"] for entry in json.loads(report.read_text())["install"]]
    # A local version such as +cpu names a build; the same release from another index is meant too.
    lines = [f"{entry['name'].lower()}=={entry['version'].split('+')[0]}" for entry in found]
    return sorted(line for line in lines if line.startswith(OWN) or not line.startswith(LEFT_TO_TORCH))


def main() -> None:
    """Write both files; files named on the command line constrain the resolution."""
    lines = resolve(sys.argv[1:])
    head = "# Written by `make lock` (envs/make_lock.py) from pyproject.toml for Python 3.11; do not edit.\n"
    LOCK.write_text(head + "\n".join(lines) + "\n")
    pins = "".join(f"      - {line}\n" for line in lines)
    CONDA.write_text(
        f"{head}name: fedfactory\nchannels:\n  - conda-forge\n  - nodefaults\ndependencies:\n  - python=3.11\n  - pip\n"
        f"  - pip:\n{pins}"
    )


if __name__ == "__main__":
    main()
