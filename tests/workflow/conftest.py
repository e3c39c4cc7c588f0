"""The whole workflow at its smallest size, run once for all tests of this folder, in a copy of the project."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from benchmarks.project_copy import TINY, copy_project
from fedfactory.orchestration.audit import Job, planned


@dataclass(frozen=True)
class Project:
    """A copy of the project and its results."""

    folder: Path

    def snakemake(self, *arguments: str, cores: int = 2, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run Snakemake in the copy, as a user would."""
        command = [str(Path(sys.executable).parent / "snakemake"), "--cores", str(cores), *arguments]
        result = subprocess.run(
            command,
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(self.folder / "src")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and result.returncode:
            raise AssertionError(f"{' '.join(command)} failed:\n{result.stdout}\n{result.stderr}")
        return result

    def planned(self, *arguments: str) -> dict[str, int]:
        """Rules and numbers of jobs that a dry run would start, without the rule `all`."""
        lines = self.snakemake("--dry-run", *(arguments or TINY), "--quiet", "rules").stderr.splitlines()
        counts: dict[str, int] = {}
        for number, line in enumerate(lines):
            if line.startswith("Job stats:"):
                counts = {}
                for row in lines[number + 3 :]:
                    if not row.strip():
                        break
                    name, count = row.split()
                    counts[name] = int(count)
        return {name: count for name, count in counts.items() if name not in {"all", "total"}}

    def jobs(self, *arguments: str) -> list[Job]:
        """All jobs of the run, by a dry run."""
        files = [self.folder / name for name in (arguments or TINY)[1:]]
        return planned(self.folder, files, "--forceall")

    def bytes_below(self, *parts: str) -> dict[str, bytes]:
        """Contents of the files below a folder of the results, but for what tells when and where they were made."""
        folder = self.folder.joinpath("results", *parts)
        files = (path for path in sorted(folder.rglob("*")) if path.is_file())
        return {
            str(path.relative_to(folder)): path.read_bytes()
            for path in files
            if path.name[0] != "." and path.name != "cell.json"
        }


def edit(path: Path, old: str, new: str) -> None:
    """Change a file of a copy, once; what is to be changed must be there."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Project:
    """A project whose tiny run is complete: run once for all processes that test, each of which has a copy."""
    own = tmp_path_factory.mktemp("finished")
    shared = own.parent if worker_id == "master" else own.parent.parent
    whole, complete = Project(shared / "whole"), shared / "whole.complete"
    with FileLock(shared / "whole.lock"):
        if not complete.exists():
            shutil.rmtree(whole.folder, ignore_errors=True)
            copy_project(whole.folder)
            whole.snakemake(*TINY)
            complete.touch()
    shutil.copytree(whole.folder, own / "project", symlinks=True)
    return Project(own / "project")


@pytest.fixture
def fresh(tmp_path: Path) -> Project:
    """A project without results, in a folder whose name a shell would read in its own way."""
    project = Project(tmp_path / "O'Neill's project")
    copy_project(project.folder)
    return project
