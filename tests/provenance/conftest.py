"""A tiny run of three jobs, each a script of its own process: raw data, a model, and the scores of a cell."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT

JOB = """
import argparse, json, time
from pathlib import Path
from fedfactory.storage.files import new_file, new_folder
from fedfactory.provenance.record import read_from_outside
from fedfactory.orchestration.job import run_script

def work(arguments):
    if arguments.raw:
        read_from_outside([arguments.raw])
    if arguments.device != "cpu":
        import torch
        square, until = torch.ones(8192, 8192, device=arguments.device), time.monotonic() + 3
        while time.monotonic() < until:
            torch.mm(square, square)
            torch.cuda.synchronize()
    given = [Path(name) for name in json.loads(arguments.given).values()]
    text = "".join(sorted(f.read_text() for g in given for f in ([g] if g.is_file() else g.iterdir()) if f.is_file()))
    if arguments.out.suffix:
        with new_file(arguments.out) as path:
            path.write_text(arguments.text + text)
    else:
        with new_folder(arguments.out) as folder:
            (folder / "a.txt").write_text(arguments.text + text)
            (folder / "sub").mkdir()
            (folder / "sub/b.txt").write_text("b")
            (folder / ".hidden").write_text("x")
            for site, size in json.loads(arguments.ledgers).items():
                (folder / "sites" / site).mkdir(parents=True)
                (folder / "sites" / site / "ledger.csv").write_text(f"round,bytes\\n0,{size}\\n1,{size}\\n")
            with new_file(folder / "inner.txt") as inner:
                inner.write_text("i")
    if arguments.fail:
        raise SystemExit(3)

parser = argparse.ArgumentParser()
parser.add_argument("--out", type=Path)
parser.add_argument("--given", default="{}")
parser.add_argument("--text", default="")
parser.add_argument("--raw", type=Path)
parser.add_argument("--device", default="cpu")
parser.add_argument("--fail", action="store_true")
parser.add_argument("--ledgers", default="{}")
if "score" in __file__:
    parser.add_argument("--story", type=Path)
run_script(parser, work)
"""
CELL = "results/run/mm/ct/ours/seed0"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "job.py").write_text(JOB)
    return tmp_path


@pytest.fixture
def job(project: Path) -> Callable[..., None]:
    """Run a job in the project: what it makes, what it is given, and other arguments."""

    def run(rule: str, out: str, given: dict[str, str] | None = None, *arguments: str) -> None:
        # As Snakemake does: what a job makes is gone before it starts.
        for made in (project / out, *(project / name for name in arguments if name.endswith("cell.json"))):
            shutil.rmtree(made) if made.is_dir() else made.unlink(missing_ok=True)
        script = project / f"{rule}.py"
        script.write_text(JOB)
        log = f"results/run/logs/{rule}/{Path(out).parent.name}.log"
        command = [sys.executable, script, "--out", out, "--log", log, *arguments]
        subprocess.run(
            [*command, "--given", json.dumps(given or {})],
            cwd=project,
            env={
                "PYTHONPATH": str(ROOT / "src"),
                "PATH": "/usr/bin:/bin",
                "FEDFACTORY_OPTIONS": '["--configfile", "a.yaml", "b, c.yaml", "--config", "device=cpu"]',
            },
            check=True,
        )

    return run


@pytest.fixture
def cell(project: Path, job: Callable[..., None]) -> Path:
    """The scores of a cell behind two other jobs; the run's folder."""
    (project / "release.nii").write_text("voxels")
    job("prepare", "results/run/mm/ct/data", None, "--raw", "release.nii")
    job("train", f"{CELL}/model", {"data": "results/run/mm/ct/data"})
    given = {"model": f"{CELL}/model/a.txt", "data": "results/run/mm/ct/data"}
    job("score", f"{CELL}/scores.csv", given, "--story", f"{CELL}/cell.json")
    return project / "results/run"
