"""A federation that makes one cell of the table: what the rows of federated baselines share."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedfactory.federation.client import ClientSpec
from fedfactory.federation.engines import simulated
from fedfactory.federation.server import Server
from fedfactory.methods.federated.nodes import Nodes
from fedfactory.orchestration.arguments import add_training_arguments, training_seed
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.files import new_folder, work_folder
from fedfactory.storage.tensors import write_tensors


@dataclass(frozen=True)
class FederatedCell:
    """What to train.

    Attributes:
        key: where its parameters stand in the configuration, for messages.
        parameters: as they stand there.
        stores: client -> its store; nothing where clients run their own nodes.
        seed: of the training.
        device: ``cpu`` or ``cuda``.
        identity: digest of everything but the data that the result depends on.
        work: folder for checkpoints; removed at the end.
        workers: clients that train at the same time.
        logs: folder for the logs of nodes.
    """

    key: str
    parameters: Mapping[str, Any]
    stores: Mapping[str, str]
    seed: int
    device: str
    identity: str
    work: Path
    workers: int
    logs: Path

    @classmethod
    def of(cls, arguments: argparse.Namespace, device: str) -> FederatedCell:
        """The task of a script with :func:`add_cell_arguments`."""
        seed = training_seed(arguments)
        given = arguments.stores or [""] * len(arguments.clients)
        stores = dict(zip(arguments.clients, given, strict=True))
        said = [arguments.parameters, stores, seed, device, arguments.code]
        return cls(
            key=f"methods.{arguments.cell.rpartition('/')[2]}.parameters",
            parameters=json.loads(arguments.parameters),
            stores=stores,
            seed=seed,
            device=device,
            identity=json.dumps(said),
            work=work_folder(arguments.out),
            workers=arguments.workers,
            logs=arguments.log.parent,
        )

    def train(
        self,
        server: Server,
        module: str,
        out: Path,
        card: Mapping[str, Any],
        progress: Progress,
        nodes: Nodes | None = None,
    ) -> None:
        """Train, or go on from the last checkpoint.

        Args:
            server: before the first round.
            module: full name of the module whose ``open_client`` opens a client.
            out: folder of the model: ``weights.pt``, ``card.json``, and ``sites/<client>`` with ledger and losses;
                written whole or not at all.
            card: JSON that belongs to the model.
            progress: updated after every round.
            nodes: trains the same on Fed-BioMed; None for the simulated engine.

        Raises:
            FedFactoryError: bad data at a client, or one that does not answer.
        """
        clients = [self._spec(client, module) for client in self.stores]
        if nodes is None:
            simulated.train(server, clients, self.identity, self.work, self.workers, progress)
        else:
            server = nodes.train(self, progress)
        with new_folder(out) as folder:
            write_tensors(server.weights, folder / "weights.pt")
            content = {"clients": list(self.stores), **card}
            (folder / "card.json").write_text(json.dumps(content, indent=1) + "\n")
            server.write_updates(folder)
            simulated.publish_records(clients, folder)
        shutil.rmtree(self.work)

    def arguments(self, **more: Any) -> dict[str, Any]:
        """What server and clients are told, as JSON data: names, parameters, and what else the row needs."""
        return {"clients": list(self.stores), "parameters": dict(self.parameters), "key": self.key, **more}

    def _spec(self, client: str, module: str) -> ClientSpec:
        arguments = {
            "data": self.stores[client],
            "clients": list(self.stores),
            "parameters": dict(self.parameters),
        }
        work = str(self.work / "sites" / client)
        return ClientSpec(client, module, arguments, self.seed, self.identity, work, self.device)


def add_cell_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of a script that trains such a cell."""
    parser.add_argument("--clients", nargs="+", required=True, help="names of those that take part")
    parser.add_argument(
        "--stores", nargs="*", default=[], help="their stores, in the same order; none where clients are remote"
    )
    parser.add_argument("--workers", type=int, required=True, help="clients that train at the same time")
    add_training_arguments(parser)
