"""Train a setup's factory with the engine that the configuration names, and publish it."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedfactory.errors import FedFactoryError
from fedfactory.factory import client as factory_client
from fedfactory.factory.differential_privacy import spent, write_spent
from fedfactory.factory.encoders import Key, no_key, read_key
from fedfactory.factory.fedbiomed import training as fedbiomed
from fedfactory.factory.model import DISCRIMINATOR, Card, snapshot_name, write_factory
from fedfactory.factory.parameters import FactoryParameters
from fedfactory.factory.server import FactoryServer, snapshot_rounds
from fedfactory.federation.client import ClientSpec
from fedfactory.federation.engines import simulated
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.files import new_folder
from fedfactory.storage.tensors import write_tensors


@dataclass(frozen=True)
class FactoryTask:
    """What to train.

    Attributes:
        parameters: of the factory.
        encoder: parameters of the encoder of the keys.
        sites: client -> its store (``data``) and its key (``factory_key.json``).
        seed: of the training.
        device: ``cpu`` or ``cuda``.
        code: digest of the code; a checkpoint of other code is not continued.
        workers: clients that train at the same time.
        work: folder for checkpoints; removed at the end.
        logs: folder for the logs of nodes.
        keep_discriminator: whether the last one becomes part of the factory's folder, for attacks on it.
    """

    parameters: FactoryParameters
    encoder: Mapping[str, Any]
    sites: Mapping[str, Mapping[str, str]]
    seed: int
    device: str
    code: str
    workers: int
    work: Path
    logs: Path
    keep_discriminator: bool = False

    @property
    def identity(self) -> str:
        """Digest of everything but the data that the result depends on."""
        parameters = self.parameters.as_json()
        # How long to wait for a client may change from one try to the next.
        del parameters["federation"]["deadline"]
        content = [parameters, dict(self.encoder), self.seed, self.device, self.code]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def key(self, client: str) -> Key:
        """The key of a client on this machine; one that says nothing where none is used."""
        file = self.sites[client].get("factory_key.json")
        return no_key(self.encoder["name"]) if file is None else read_key(Path(file))

    def client_spec(self, client: str) -> ClientSpec:
        """What one client's process is told."""
        return ClientSpec(
            client=client,
            module=factory_client.__name__,
            arguments={
                "data": self.sites[client]["data"],
                "key": self.sites[client].get("factory_key.json"),
                "encoder": dict(self.encoder),
                "parameters": self.parameters.as_json(),
            },
            seed=self.seed,
            identity=self.identity,
            work=str(self.work / "sites" / client),
            device=self.device,
        )


def train_factory(task: FactoryTask, out: Path, progress: Progress) -> None:
    """Train, or go on from the last checkpoint, and write the factory's folder.

    Args:
        task: what to train.
        out: folder as described in :mod:`fedfactory.factory.model`; written whole or not at all.
        progress: updated after every round.

    Raises:
        FedFactoryError: bad data at a client, or one that does not answer.
    """
    clients, federation = task.parameters.clients, task.parameters.federation
    keys = {}
    if federation.mode == "local":
        keys = {client: task.key(client) for client in clients}
        _check_encoders(keys)
    if federation.engine == "simulated":
        specs = [task.client_spec(client) for client in clients]
        server = FactoryServer(task.parameters, task.seed, task.work)
        simulated.train(server, specs, task.identity, task.work, task.workers, progress)
    else:
        server = fedbiomed.train(task, progress)
    if federation.mode == "remote":
        keys = fedbiomed.announced_keys(task.work)
        _check_encoders(keys)
    with new_folder(out) as folder:
        write_factory(folder, server.ema, _card(task, keys))
        (folder / "snapshots").mkdir()
        # By name: the folder can also hold those of a training with other parameters that was given up.
        for name in map(snapshot_name, snapshot_rounds(task.parameters)):
            shutil.copyfile(task.work / "snapshots" / name, folder / "snapshots" / name)
        server.write_updates(folder)
        if task.keep_discriminator:
            write_tensors(server.discriminator(), folder / DISCRIMINATOR)
        write_spent(spent(task.parameters, task.seed), folder)
        for client in clients:
            for name in simulated.RECORDS:
                (folder / "sites" / client).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(task.work / "sites" / client / name, folder / "sites" / client / name)
    shutil.rmtree(task.work)


def _check_encoders(keys: Mapping[str, Key]) -> None:
    """Refuse keys of different encoders: they do not live in one space."""
    found = {(key.encoder, key.digest): client for client, key in keys.items()}
    if len(found) > 1:
        (first, one), (second, other) = list(found.items())[:2]
        raise FedFactoryError(
            f"the keys of {one} and {other} come from different encoders ({first[0]} {first[1][:12]}, {second[0]} "
            f"{second[1][:12]}); make them again with the same weights"
        )


def _card(task: FactoryTask, keys: Mapping[str, Key]) -> Card:
    first = keys[task.parameters.clients[0]]
    values = {client: keys[client].values.tolist() for client in task.parameters.clients}
    return Card(task.parameters, first.encoder, first.digest, values, task.seed)
