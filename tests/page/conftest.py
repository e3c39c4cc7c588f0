"""A whole table of made-up cells, and the page that the workflow's scripts make of it."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fedfactory.config.run import load_config, read_yaml
from fedfactory.evaluation import inputs, specification
from fedfactory.evaluation.scores import COLUMNS
from fedfactory.evaluation.slices import slices_of, write_slices
from fedfactory.methods.cards import cards
from fedfactory.methods.cells import Methods
from tests.conftest import ROOT, ball_volume, write_nifti

SUBJECTS = 5
PAPER = f"--paper={ROOT / 'config/table1_paper.csv'}"
PAPER_SUBJECTS = f"--paper-subjects={ROOT / 'config/table1_paper_subjects.csv'}"


def write_scores(file: Path, level: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    file.parent.mkdir(parents=True)
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for subject in range(SUBJECTS):
            dice = float(np.clip(level + rng.normal(0, 0.05), 0, 1))
            outcome = "found" if dice else "miss"
            figures = [f"{value:.6f}" for value in (dice, dice, 50 * (1 - dice), dice - 1, 10, 10 * dice, dice, 1, 8)]
            writer.writerow(["s", "t", "m", 0, 3, 24, f"subject<{subject}>", f"case{subject}", "c", outcome, *figures])


def story(cell: tuple[str, str, str]) -> dict:
    cost = {
        **{"jobs": 2, "seconds": 9.0, "cpu_seconds": 8.0, "gpu_seconds": 0, "peak_memory_mb": 500.0},
        **{"bytes_exchanged": 1_000_000, "energy_joules": {"processor": None, "gpu": None}},
    }
    setup, target, method = cell
    job = {
        **{"job": "adapt", "seconds": 9.0, "peak_memory_mb": 500.0, "device": {"name": "cpu"}, "code": "abc"},
        "outputs": {f"results/demo/{setup}/{target}/{method}/seed0/model": "f" * 64},
        **{"inputs": {}, "arguments": []},
    }
    return {
        "command": f"snakemake --cores 1 -- results/demo/{setup}/{target}/{method}/seed0/scores.csv",
        "cell": {"setup": setup, "target": target, "method": method, "seed": 0},
        **{"commits": ["0" * 40], "code": {}, "configuration": "e" * 64, "weights": None, "python": ["3.11"]},
        **{"packages": [{}], "machines": [{"processor": "<b>cpu</b>", "cores": 2, "system": "Linux"}]},
        "kernels": [{"portable": True}],
        **{"cost": {"own": cost, "with_shared": cost}, "jobs": [job], "portable": True},
    }


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the run, with index.html."""
    folder = tmp_path_factory.mktemp("site")
    files = [ROOT / "config/demo.yaml"]
    config = load_config(read_yaml(files[0], "demo"), files, ROOT)
    for number, (setup, target, method, seed) in enumerate(config.cells([*config.methods, *config.strict])):
        cell = folder / config.layout.cell(setup, target, method, seed)
        level = [0.0, 0.3, 0.6, 0.9][number % 4]
        write_scores(cell / "scores.csv", level, number)
        (cell / "cell.json").write_text(json.dumps(story((setup, target, method))))
    image, mask = ball_volume(seed=0)
    truth, predictions = folder / "truth", {}
    write_nifti(truth / "case0_image.nii.gz", image)
    write_nifti(truth / "case0_truth.nii.gz", mask)
    for shift, method in enumerate(config.methods):
        write_nifti(folder / method / "case0.nii.gz", np.roll(mask, shift, 0))
        predictions[method] = folder / method
    shown = slices_of("case0", truth, predictions, "RAS", ["brain"])
    for setup in config.setups.values():
        for target in setup.targets:
            file = folder / config.layout.client(setup.name, target, "slices.json")
            write_slices([{"subject": "subject0", **shown}], file)
    # Pictures of the demo's size.
    noise = np.random.default_rng(0).integers(0, 255, (900, 1400, 3), np.uint8)
    for name in inputs.page_pictures(config):
        if "/charts/" not in name:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise).save(folder / name)
    run = config.layout.root
    scores = ["--scores", *inputs.cell_files(config, "scores.csv")]
    stories = ["--stories", *inputs.shown_files(config, "cell.json")]
    charts = inputs.chart_files(config).items()
    pictures = [part for name, file in charts for part in (f"--{name.replace('_', '-')}", file)]
    analysis = f"{run}/table1_analysis"
    script(folder, "analysis", specification.table1(config), *scores, "--out", analysis, PAPER, PAPER_SUBJECTS)
    script(folder, "charts", specification.charts(config, ()), *scores, *stories, *pictures)
    shown = ["--pictures", *inputs.page_pictures(config), "--analysis", analysis, "--out", f"{run}/index.html"]
    shown += ["--slices", *inputs.page_slices(config), "--scripts", *inputs.page_scripts(config)]
    strict, of_methods = ["ours_strict", "mean_mask"], cards(config, Methods(config, ROOT))
    shown += ["--strict", *inputs.cell_files(config, "scores.csv", strict)]
    command = script(
        folder,
        "page",
        specification.page(config, strict, of_methods),
        *scores,
        *stories,
        *shown,
        PAPER,
    )
    (folder / run / "page_command.json").write_text(json.dumps(command))
    return folder / run


def script(folder: Path, name: str, parameters: dict, *arguments: str) -> list[str]:
    """Run a script of the workflow.

    Returns:
        Its command, without Python.
    """
    command = [str(ROOT / f"workflow_scripts/{name}.py"), "--parameters", json.dumps(parameters), *arguments]
    command += ["--log", f"{name}.log"]
    subprocess.run([sys.executable, *command], cwd=folder, check=True)
    return command
