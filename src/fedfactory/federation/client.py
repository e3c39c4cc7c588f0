"""One client's part in a federation, whatever it is that they train together."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

from torch import Tensor

from fedfactory.federation.message import Allowlist

TRAIN = "train"
"""The phase of a round in which a client trains the model; the only one of federated averaging."""

OWN_WEIGHTS = "own_weights.pt"
"""Beside a client's records: what of the model it keeps for itself. Most keep nothing."""

Message = Mapping[str, Mapping[str, Tensor]]
"""Field -> arrays by name."""
_PACKAGE = __name__.partition(".")[0]


@dataclass(frozen=True)
class ClientSpec:
    """What a client's process is told when it starts; plain values.

    Attributes:
        client: the client's name.
        module: full name of the module of this package whose ``open_client`` opens it.
        arguments: of that ``open_client``: files and parameters.
        seed: of the training.
        identity: digest of code and configuration.
        work: the client's own folder for checkpoints, ledger and losses.
        device: ``cpu`` or ``cuda``.
    """

    client: str
    module: str
    arguments: Mapping[str, Any]
    seed: int
    identity: str
    work: str
    device: str

    def __post_init__(self) -> None:
        """Refuse a module of another package."""
        _check_own(self.module)


class FederatedClient(Protocol):
    """A client with its data opened, in its own process.

    Attributes:
        allowlist: all that may cross the client's border.
        loss_columns: names of the losses of a round; the last one has a value in every round.
        fingerprint: digest of the data that it trains on.
    """

    allowlist: Allowlist
    loss_columns: tuple[str, ...]
    fingerprint: str

    def announcement(self) -> Mapping[str, Any]:
        """What crosses before the first round, beside the model: at least the client's name."""

    def answer(self, round_number: int, phase: str, message: Message) -> tuple[Message, Mapping[str, float] | None]:
        """Take part in a phase of a round.

        Args:
            round_number: counted from 0.
            phase: one of the server's phases; in the last one the answer holds the field ``weights``.
            message: what came in.

        Returns:
            What goes out, and in the last phase the round's losses.
        """

    def own_weights(self) -> Mapping[str, Tensor]:
        """What of the model never leaves the client, and its predictions need; of most federations nothing."""

    def state_dict(self) -> dict[str, Any]:
        """What the client keeps from round to round; loads with ``torch.load(weights_only=True)``."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where :meth:`state_dict` was taken."""


def open_client(spec: ClientSpec) -> FederatedClient:
    """Open a client's data.

    Raises:
        FedFactoryError: bad data.
    """
    return own_module(spec.module).open_client(spec.client, spec.arguments, spec.seed, spec.device)


def own_module(name: str) -> ModuleType:
    """Import a module that another process named: one of this package, and no other.

    Raises:
        ValueError: it is of another package.
    """
    _check_own(name)
    return importlib.import_module(name)


def _check_own(module: str) -> None:
    if not module.startswith(f"{_PACKAGE}."):
        raise ValueError(f"the module {module!r} is none of the package {_PACKAGE}")
