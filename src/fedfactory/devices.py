"""The device of a job, decided in one place."""

from fedfactory.errors import FedFactoryError


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
