"""Whether a machine has what jobs with a GPU need: a driver, a device, and memory."""

from __future__ import annotations

import csv
from pathlib import Path

from fedfactory.config import Config
from fedfactory.devices import why_no_gpu

# Peak memory of the steps at 512 pixels, as measured on a GPU.
_MEASURED = Path("docs/benchmarks/gpu_paper.csv")
_GIB = 2**30


def preflight(project: Path, config: Config) -> tuple[list[str], bool]:
    """Look at this machine's GPU.

    Args:
        project: folder of the Snakefile.
        config: the run, which may do without a GPU.

    Returns:
        Lines to print, and whether the run's jobs can start here.
    """
    import torch

    if config.device == "cpu":
        return [f"{config.file}: device is cpu; no job asks for a GPU"], True
    if not torch.cuda.is_available():
        needed = config.device != "auto"
        rest = "jobs would end with this sentence" if needed else "with device: auto jobs run on the CPU"
        return [f"no GPU: {why_no_gpu()} ({rest})"], not needed
    lines, ready = [], True
    for index in range(torch.cuda.device_count()):
        free, total = (value / _GIB for value in torch.cuda.mem_get_info(index))
        name = torch.cuda.get_device_name(index)
        lines.append(f"GPU {index}: {name}, {free:.1f} of {total:.1f} GiB free, torch {torch.__version__}")
        short = [(step, peak) for step, peak in _peaks(project) if peak > free]
        ready = ready and not short
        lines += [
            f"  {step} at 512 pixels took {peak:.1f} GiB when measured: too much for this card" for step, peak in short
        ]
    if not ready:
        lines.append("lower 'batch' and raise 'accumulate' of these trainings, or ask for a larger card (gpu_model)")
    return lines, ready


def _peaks(project: Path) -> list[tuple[str, float]]:
    """Step and peak GiB of the paper's own steps."""
    with (project / _MEASURED).open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["precision"] == "float32" and "pairs" not in row["step"]]
    return [(row["step"], float(row["peak GiB"])) for row in rows]
