"""One client's part in a federation, whatever it is that they train together."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from fedfactory.federation.message import Allowlist

if TYPE_CHECKING:
    from torch import Tensor

TRAIN = "train"
"""The phase of a round in which a client trains the model; the only one of federated averaging."""

Message = Mapping[str, Mapping[str, "Tensor"]]
"""Field -> arrays by name."""

CLIENTS = {
    "factory": "fedfactory.factory.client",
    "feddg": "fedfactory.methods.feddg.client",
    "fedmedgan": "fedfactory.methods.fedmedgan.client",
}
"""What can be trained -> the module that has ``open_client``; nothing else is ever imported by a name."""


@dataclass(frozen=True)
class ClientSpec:
    """What a client's process is told when it starts; plain values.

    Attributes:
        client: the client's name.
        kind: what is trained, a key of :data:`CLIENTS`.
        arguments: of that kind's ``open_client``: files and parameters.
        seed: of the training.
        identity: digest of code and configuration.
        work: the client's own folder for checkpoints, ledger and losses.
        device: ``cpu`` or ``cuda``.
    """

    client: str
    kind: str
    arguments: Mapping[str, Any]
    seed: int
    identity: str
    work: str
    device: str


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

    def state_dict(self) -> dict[str, Any]:
        """What the client keeps from round to round; loads with ``torch.load(weights_only=True)``."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where :meth:`state_dict` was taken."""


def open_client(task: ClientSpec) -> FederatedClient:
    """Open a client's data.

    Raises:
        FedFactoryError: bad data.
    """
    module = importlib.import_module(CLIENTS[task.kind])
    return module.open_client(task.client, task.arguments, task.seed, task.device)
