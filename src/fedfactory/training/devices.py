"""The device of a job, decided in one place."""

import os
from pathlib import Path
from typing import Any

from fedfactory.errors import FedFactoryError
from fedfactory.orchestration.portable import CPU_DEVICES
from fedfactory.training.no_compiler import do_without_compiler

DEVICES = ("auto", *CPU_DEVICES, "cuda", "cuda-fast")
"""What a configuration may ask for. ``cpu`` gives the same bytes on every x86-64 processor, ``cpu-fast`` on one like
this; ``cuda`` the same on one card, and ``cuda-fast`` gives even that up."""

# Set for this process and its children once a job has asked for the last one.
_FAST = "FEDFACTORY_CUDA_FAST"


def make_deterministic(device: str) -> None:
    """Ask torch for the same bytes in every run: a must on the CPU, where it also does without its compiler.

    On a GPU a few operations (bilinear resampling backwards) have no such kernel; torch then warns, once for each. With
    ``cuda-fast`` nothing is asked of a GPU, and cuDNN tries which kernels are fastest.
    """
    import torch

    if device == "cpu":
        do_without_compiler()
        # It picks its kernels by the processor, and has no setting.
        torch.backends.nnpack.set_flags(False)
    elif is_fast():
        torch.backends.cudnn.benchmark = True
        return
    # The same as use_deterministic_algorithms, which would also import torch's compiler: two seconds of every job.
    torch.set_deterministic_debug_mode("error" if device == "cpu" else "warn")
    fill_new_tensors(False)


def fill_new_tensors(on: bool) -> bool:
    """Whether torch, where it is deterministic, fills every new tensor; returns what held before.

    That guards against operations that read what nobody wrote, and costs a tenth of the time.
    """
    import torch

    # torch names it to no checker.
    settings: Any = torch.utils.deterministic
    before, settings.fill_uninitialized_memory = settings.fill_uninitialized_memory, on
    return before


def is_fast() -> bool:
    """Whether this job, or the one that started this process, asked for ``cuda-fast``."""
    return _FAST in os.environ


def resolve(device: str) -> str:
    """Turn the configuration's ``device`` into what torch calls it.

    Args:
        device: one of :data:`DEVICES`; ``auto`` is a GPU where there is one.

    Returns:
        ``cpu`` or ``cuda``.

    Raises:
        FedFactoryError: a GPU was asked for, and none can be used; the sentence says why.
    """
    if device in CPU_DEVICES:
        return "cpu"
    import torch

    if device == "cuda-fast":
        os.environ[_FAST] = "1"
    if torch.cuda.is_available():
        return "cuda"
    if device != "auto":
        raise FedFactoryError(f"device: {device} was asked for, but {why_no_gpu()}; or set device: cpu")
    return "cpu"


def why_no_gpu() -> str:
    """Why torch finds no usable GPU, and what to do, in half a sentence."""
    import torch

    if torch.version.cuda is None:
        return f"torch {torch.__version__} was built without CUDA: install the build that requirements.lock names"
    if not Path("/proc/driver/nvidia/version").exists():
        return "this machine has no NVIDIA driver: run the job where there is one"
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1", "NoDevFiles"):
        return "CUDA_VISIBLE_DEVICES hides all GPUs: ask the scheduler for one (gpu=1)"
    try:
        torch.cuda.init()
    except RuntimeError as error:
        return f"the driver refuses ({str(error).split('. ')[0].strip()}): update it, or install a torch for it"
    return "the driver shows no device: see nvidia-smi"


def prepare(device: str) -> str:
    """Make torch ready for one job: deterministic, and one thread on a CPU, so that bytes do not depend on cores.

    Args:
        device: as for :func:`resolve`.

    Returns:
        ``cpu`` or ``cuda``.

    Raises:
        FedFactoryError: as :func:`resolve`.
    """
    found = resolve(device)
    import torch

    torch.set_num_threads(1)
    make_deterministic(found)
    return found
