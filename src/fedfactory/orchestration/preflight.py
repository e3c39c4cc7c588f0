"""Whether a machine has what jobs with a GPU need: a driver, a device, and memory."""

from __future__ import annotations

import csv
from pathlib import Path

from fedfactory.config.run import Config
from fedfactory.orchestration.declared import methods
from fedfactory.orchestration.portable import CPU_DEVICES
from fedfactory.training.devices import why_no_gpu

# Peak memory of the steps at 512 pixels, as measured on a GPU.
_MEASURED = Path("docs/benchmarks/gpu_paper.csv")
_PIXELS = 512
_GIB = 2**30
_FACTORY = "factory, 16 passes"


def preflight(project: Path, config: Config) -> tuple[list[str], bool]:
    """Look at this machine's GPU.

    Args:
        project: folder of the Snakefile.
        config: the run, which may do without a GPU.

    Returns:
        Lines to print, and whether the run's jobs can start here.
    """
    import torch

    if config.device in CPU_DEVICES:
        return [f"{config.file}: device is {config.device}; no job asks for a GPU"], True
    if not torch.cuda.is_available():
        needed = config.device != "auto"
        rest = "jobs would end with this sentence" if needed else "with device: auto jobs run on the CPU"
        return [f"no GPU: {why_no_gpu()} ({rest})"], not needed
    lines, ready = [], True
    for index in range(torch.cuda.device_count()):
        free, total = (value / _GIB for value in torch.cuda.mem_get_info(index))
        name = torch.cuda.get_device_name(index)
        lines.append(f"GPU {index}: {name}, {free:.1f} of {total:.1f} GiB free, torch {torch.__version__}")
        short = [(step, peak) for step, peak in needed_memory(project, config) if peak > free]
        ready = ready and not short
        lines += [f"  {step} would take {peak:.1f} GiB: too much for this card" for step, peak in short]
    if not ready:
        lines.append(
            "lower 'batch' and raise 'accumulate' of these trainings, or ask for a larger card: docs/cluster.md"
        )
    return lines, ready


def needed_memory(project: Path, config: Config) -> list[tuple[str, float]]:
    """What the run's trainings need on a GPU: (setup-independent name of a step, GiB), scaled by batch and pixels.

    A step's memory grows no faster than its batch, so that these are upper bounds for larger ones; smaller ones also
    hold the weights, which do not shrink.
    """
    with (project / _MEASURED).open(newline="") as file:
        peaks = {(row["step"], row["precision"]): float(row["peak GiB"]) for row in csv.DictReader(file)}
    pixels = (config.preprocessing["image_size"] / _PIXELS) ** 2
    found = []
    if config.factory:
        training = config.factory["training"]
        share = training["batch"] / 2 * (config.factory["network"]["image_size"] / _PIXELS) ** 2
        found.append(("factory", share * peaks[_FACTORY, training["precision"]]))
    for method in config.methods.values():
        declared = methods()[method.rules]
        for step, share in declared.peaks.items():
            (peak,) = (value for (name, _), value in peaks.items() if name == step)
            cells = declared.open(config, project)
            batches = max(share(cells.of(method.name, setup)) for setup in config.setups)
            found.append((f"{method.name}: {step}", pixels * batches * peak))
    return found
