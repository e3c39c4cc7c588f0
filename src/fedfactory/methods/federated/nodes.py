"""A cell's federation on Fed-BioMed: what the rows that can train there share.

A row's own modules ``server`` and ``nodes`` are what a server and a node need of it: see
:mod:`fedfactory.federation.engines.fedbiomed.trained`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from fedfactory.data.store import ClientView
from fedfactory.errors import FedFactoryError
from fedfactory.federation.client import own_module
from fedfactory.federation.engines.fedbiomed import driver
from fedfactory.federation.engines.fedbiomed.folder import NodeDescription, read_description, write_folder
from fedfactory.federation.engines.fedbiomed.processes import in_own_process
from fedfactory.federation.engines.fedbiomed.trained import TrainedAtNode
from fedfactory.federation.message import CLIENT
from fedfactory.federation.parameters import EngineParameters
from fedfactory.federation.server import Server
from fedfactory.orchestration.labels import Labels
from fedfactory.orchestration.progress import Progress

if TYPE_CHECKING:
    from fedfactory.methods.federated.cell import FederatedCell


class NodeMethod(TrainedAtNode, Protocol):
    """A row's module ``nodes``.

    Attributes:
        LABELS: that its clients train on.
    """

    LABELS: Labels

    def arrays_of(self, view: ClientView) -> dict[str, np.ndarray]:
        """All that a node reads of its client."""


@dataclass(frozen=True)
class Nodes:
    """The federation of a cell on Fed-BioMed.

    Attributes:
        server: full name of the row's module ``server``.
        method: full name of its module ``nodes``.
        arguments: of its server and its clients, as JSON data.
        remote: whether clients run their own nodes.
    """

    server: str
    method: str
    arguments: Mapping[str, Any]
    remote: bool

    @classmethod
    def of(cls, p: EngineParameters, server: str, method: str, arguments: Mapping[str, Any]) -> Nodes | None:
        """What trains a cell with these parameters; None where that is the simulated engine."""
        return cls(server, method, arguments, p.mode == "remote") if p.engine == "fedbiomed" else None

    def train(self, cell: FederatedCell, progress: Progress) -> Server:
        """Train, or go on from the last checkpoint; ``cell.work/sites/<client>`` holds the records.

        Raises:
            FedFactoryError: bad data at a client, or one that does not answer.
        """
        folders = {}
        for client, store in () if self.remote else cell.stores.items():
            folders[client] = driver.client_folder(cell.work, client)
            node, records = driver.node_folder(cell.work, client), driver.records_folder(cell.work, client)
            in_own_process(convert, self.method, client, Path(store), folders[client], node, records)
        federation = driver.Federation(
            trained=self.server,
            arguments=self.arguments,
            seed=cell.seed,
            identity=cell.identity,
            device=cell.device,
            folders=folders,
            work=cell.work,
            logs=cell.logs,
        )
        return driver.train(federation, progress)


def convert(method: str, client: str, data: Path, folder: Path, node: Path, records: Path) -> None:
    """Make a node's folder from its client's store.

    Args:
        method: full name of the row's module ``nodes``.
        client: its name.
        data: its store.
        folder: replaced.
        node: folder of the node.
        records: folder for the ledger and the losses.

    Raises:
        FedFactoryError: bad data.
    """
    own: NodeMethod = own_module(method)
    arrays = own.arrays_of(ClientView(data, own.LABELS))
    write_folder(folder, NodeDescription(client, {}, str(node), str(records), {}), arrays)


def client_in(folder: Path, arguments: Mapping[str, Any]) -> str:
    """The client that a node's folder is of.

    Raises:
        FedFactoryError: it is none of the federation's.
    """
    client = read_description(folder).client
    if client not in arguments["clients"]:
        raise FedFactoryError(f"the client {client} is none of {', '.join(arguments['clients'])}")
    return client


def names_announced(client: str, announced: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a client announces: its name."""
    return {CLIENT: client}


def only_names_announced(announced: Mapping[str, Mapping[str, Any]], arguments: Mapping[str, Any]) -> None:
    """Names alone are announced, and those the server asks for."""
