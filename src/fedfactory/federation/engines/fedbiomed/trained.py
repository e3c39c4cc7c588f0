"""What the engine is given: a module for the server's side, and one for the client's that the shipped text imports.

The server's side is named by its module, since the researcher is a process of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from fedfactory.federation.client import FederatedClient
from fedfactory.federation.server import Server


class TrainedAtServer(Protocol):
    """A module of what is trained, as the server needs it.

    Attributes:
        loss_columns: as :class:`~fedfactory.federation.client.FederatedClient` has them.
    """

    loss_columns: tuple[str, ...]

    def open_server(self, arguments: Mapping[str, Any], seed: int, work: Path) -> Server:
        """The server before the first round."""

    def training_plan(self) -> type:
        """The class whose text is sent to the clients: a ``plan.ClientTrainingPlan``."""

    def check_announced(self, announced: Mapping[str, Mapping[str, Any]], arguments: Mapping[str, Any]) -> None:
        """Check what the clients announced, by client.

        Raises:
            FedFactoryError: they cannot train together.
        """

    def announcement(self, client: str, announced: Mapping[str, Any]) -> Mapping[str, Any]:
        """What a client announced as the message that is in its ledger."""


class TrainedAtNode(Protocol):
    """A module of what is trained, as a node needs it."""

    def build_model(self, arguments: Mapping[str, Any]) -> nn.Module:
        """The model whose weights cross; on either side."""

    def open_client(self, folder: Path, arguments: Mapping[str, Any], seed: int, device: str) -> FederatedClient:
        """A client before a round, in the state of one that never took part.

        Raises:
            FedFactoryError: the folder does not fit.
        """
