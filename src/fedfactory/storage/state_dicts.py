"""Weights from files: nothing in them is executed, and they fit the network or are refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor, nn

from fedfactory.errors import FedFactoryError
from fedfactory.storage.tensors import named, read_tensors, write_tensors

# Parameters that a message names.
_SHOWN = 3
_STATES = "states"


def state_file(step: int) -> str:
    """Name, below a model's folder, of the weights that a training kept after so many steps."""
    return f"{_STATES}/{step:07d}.pt"


def write_states(model: Path, states: Mapping[int, Mapping[str, Tensor]]) -> None:
    """Write what a training kept, steps -> weights, into a model's folder that is being made."""
    for step, weights in states.items():
        file = model / state_file(step)
        file.parent.mkdir(exist_ok=True)
        write_tensors({name: value.cpu() for name, value in weights.items()}, file)


def kept_steps(model: Path) -> list[int]:
    """Steps of a training whose weights a model's folder keeps, ascending."""
    return sorted(int(file.stem) for file in (model / _STATES).glob("*.pt"))


def read_state_dict(file: Path, device: str, key: str = "", advice: str = "get it again") -> dict[str, Tensor]:
    """Read a file's state dict, and execute nothing of it.

    Args:
        file: as torch saves it.
        device: of the tensors.
        key: the key of the configuration that names the file, for messages; empty for none.
        advice: what to do about another file.

    Raises:
        FedFactoryError: the file cannot be read, or holds anything but a table of finite weights.
    """
    state = read_tensors(file, device, key, advice)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise FedFactoryError(f"{named(file, key)} is no table of weights; {advice}")
    return state


def load_weights(network: nn.Module, file: Path, device: str, more: Iterable[Path] = ()) -> None:
    """Load a state dict into a network; every parameter must be there, and no other.

    Args:
        network: that it belongs to.
        file: as torch saves it.
        device: of the tensors.
        more: files with the rest of the state dict.

    Raises:
        FedFactoryError: no table of weights, or other parameters (which ones).
    """
    state = read_state_dict(file, device)
    for other in more:
        state |= read_state_dict(other, device)
    own = network.state_dict()
    wrong = {
        "lacks": [name for name in own if name not in state],
        "has unexpected": [name for name in state if name not in own],
        "has other shapes of": [name for name in own if name in state and own[name].shape != state[name].shape],
    }
    for what, names in wrong.items():
        if names:
            rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            raise FedFactoryError(
                f"{file} {what} {', '.join(names[:_SHOWN])}{rest}: it belongs to another model; check its name"
            )
    network.load_state_dict(state)
