"""The job's side of the factory's training with Fed-BioMed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fedfactory.factory.encoders import Key
from fedfactory.factory.fedbiomed import server as factory_at_server
from fedfactory.factory.fedbiomed.folder import convert, describe, values_of
from fedfactory.factory.server import FactoryServer
from fedfactory.federation.engines.fedbiomed import driver
from fedfactory.federation.engines.fedbiomed.processes import in_own_process
from fedfactory.orchestration.progress import Progress

if TYPE_CHECKING:
    from fedfactory.factory.training import FactoryTask


def train(task: FactoryTask, progress: Progress) -> FactoryServer:
    """Train the factory with Fed-BioMed, or go on with it from its last checkpoint.

    Args:
        task: what to train; with ``federation.mode: remote`` its clients' files are not read.
        progress: updated after every round.

    Returns:
        The server after the last round; ``task.work/sites/<client>`` holds ``ledger.csv``, ``forms.json`` and
        ``losses.csv`` of each client, ``task.work/snapshots`` the averaged generator over time. With remote clients
        these are the server's records, without losses, which stay at the clients.

    Raises:
        FedFactoryError: bad data at a client, one that does not answer, or one with another version of this package.
    """
    folders = {}
    if task.parameters.federation.mode == "local":
        for client in task.parameters.clients:
            files, folders[client] = task.sites[client], driver.client_folder(task.work, client)
            description = describe(
                client,
                task.key(client),
                task.encoder,
                task.parameters.training.copies,
                node=driver.node_folder(task.work, client),
                records=driver.records_folder(task.work, client),
            )
            size = task.parameters.network.image_size
            in_own_process(convert, description, Path(files["data"]), size, folders[client])
    federation = driver.Federation(
        trained=factory_at_server.__name__,
        arguments={"parameters": task.parameters.as_json(), "encoder": task.encoder["name"]},
        seed=task.seed,
        identity=task.identity,
        device=task.device,
        folders=folders,
        work=task.work,
        logs=task.logs,
    )
    server = driver.train(federation, progress)
    assert isinstance(server, FactoryServer)
    return server


def announced_keys(work: Path) -> dict[str, Key]:
    """Keys that the clients of a training announced; their numbers of images are not told, and given as 0."""
    return {
        client: Key(key["encoder"], key["digest"], 0, values_of(key)) for client, key in driver.announced(work).items()
    }
