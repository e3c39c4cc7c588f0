"""The device of a job, decided in one place."""

from fedfactory.errors import FedFactoryError
from fedfactory.no_compiler import do_without_compiler


def make_deterministic(device: str) -> None:
    """Ask torch for the same bytes in every run: a must on the CPU, where it also does without its compiler.

    On a GPU a few operations (bilinear resampling backwards) have no such kernel; torch then warns, once for each.
    """
    import torch

    if device == "cpu":
        do_without_compiler()
    # The same as use_deterministic_algorithms, which would also import torch's compiler: two seconds of every job.
    torch.set_deterministic_debug_mode("error" if device == "cpu" else "warn")
    # Filling every new tensor guards against operations that read what nobody wrote; it costs a tenth of the time.
    torch.utils.deterministic.fill_uninitialized_memory = False


def resolve(device: str) -> str:
    """Turn the configuration's ``device`` into what torch calls it.

    Args:
        device: ``auto`` (a GPU where there is one), ``cpu`` or ``cuda``.

    Returns:
        ``cpu`` or ``cuda``.

    Raises:
        FedFactoryError: ``cuda`` was asked for and no GPU can be used.
    """
    if device == "cpu":
        return device
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if device == "cuda":
        raise FedFactoryError("device: cuda was asked for, but torch finds no usable GPU; check the driver or set cpu")
    return "cpu"


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
