"""The job's side of a training with Fed-BioMed: prepares, starts, watches and ends all of its processes."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from fedfactory.errors import FedFactoryError

# Imported for their names; they import Fed-BioMed only as processes of their own.
from fedfactory.federation.engines.fedbiomed import node, researcher
from fedfactory.federation.engines.fedbiomed.folder import (
    KEYS,
    ClientCard,
    convert,
    folder_digest,
    key_tensor,
    plain_key,
    read_card,
)
from fedfactory.federation.engines.fedbiomed.processes import Processes, free_port
from fedfactory.federation.engines.fedbiomed.records import open_records
from fedfactory.storage.checkpoints import Checkpoints
from fedfactory.storage.files import new_file

if TYPE_CHECKING:
    from fedfactory.factory.encoders import Key
    from fedfactory.factory.parameters import FactoryParameters
    from fedfactory.factory.server import FactoryServer
    from fedfactory.factory.training import FactoryTask
    from fedfactory.orchestration.progress import Progress

# Nodes must use exactly the name that is in the researcher's certificate.
_HOST = "localhost"
# Large models keep a node too busy to answer for a minute.
_DISCONNECTED_AFTER_SECONDS = 120
# Names of processes and of their logs.
RESEARCHER, NODE = "researcher", "node_"
_ROOT, _PORT = "FBM_RESEARCHER_COMPONENT_ROOT", "FBM_SERVER_PORT"
# A node that runs trusts the certificate that it saw first: the researcher's folder outlives a training.
_REMOTE = {
    _ROOT: "a folder for the researcher that you keep: the sites trust its certificate",
    "FBM_SERVER_HOST": "the host name that the sites connect to",
    _PORT: "the port that the sites connect to",
}


@dataclass(frozen=True)
class Federation:
    """A training and its sites.

    Attributes:
        parameters: of the factory.
        encoder: name of the encoder of the keys.
        seed: of the training.
        identity: digest of code and configuration.
        device: ``cpu`` or ``cuda``.
        folders: client -> its site's folder on this machine; empty with remote sites.
        work: folder for checkpoints, nodes and records; remains for the caller to remove.
        logs: folder for one log per process.
    """

    parameters: FactoryParameters
    encoder: str
    seed: int
    identity: str
    device: str
    folders: Mapping[str, Path]
    work: Path
    logs: Path

    @property
    def home(self) -> Path:
        """Folder of checkpoints, researcher and nodes."""
        return (self.work / "fedbiomed").resolve()

    def whole_identity(self) -> str:
        """Digest that includes the data and the place, since Fed-BioMed's breakpoints hold absolute paths."""
        data = {client: folder_digest(folder) for client, folder in self.folders.items()}
        content = json.dumps([self.identity, data, str(self.home)], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()


def train(task: FactoryTask, progress: Progress) -> FactoryServer:
    """Train the factory with Fed-BioMed, or go on with it from its last checkpoint.

    Args:
        task: what to train; with ``federation.mode: remote`` its sites' files are not read.
        progress: updated after every round.

    Returns:
        The aggregator after the last round; ``task.work/sites/<client>`` holds ``ledger.csv``, ``forms.json`` and
        ``losses.csv`` of each client, ``task.work/snapshots`` the averaged generator over time. With remote sites these
        are the aggregator's records, without losses, which stay at the sites.

    Raises:
        FedFactoryError: bad data at a site, a site that does not answer, or one with another version of this package.
    """
    from fedfactory.factory.encoders import read_key

    folders = {}
    if task.parameters.federation.mode == "local":
        for client in task.parameters.clients:
            files = task.sites[client]
            card = ClientCard(
                client,
                plain_key(read_key(Path(files["factory_key.json"]))),
                dict(task.encoder),
                node=str(node_folder(task.work, client)),
                records=str((task.work / "sites" / client).resolve()),
                copies=task.parameters.training.copies,
            )
            folders[client] = (task.work / "site_folders" / client).resolve()
            # In a process of the site's own: this one, which holds the aggregator, opens no store.
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as site:
                work = card, Path(files["data"]), task.parameters.network.image_size, folders[client]
                site.submit(convert, *work).result()
    federation = Federation(
        task.parameters, task.encoder["name"], task.seed, task.identity, task.device, folders, task.work, task.logs
    )
    return run(federation, progress)


def node_folder(work: Path, client: str) -> Path:
    """Folder of a client's node on this machine."""
    return (work / "fedbiomed" / "nodes" / client).resolve()


def announced_keys(work: Path) -> dict[str, Key]:
    """Keys that the sites of a training announced; their numbers of images are not told, and given as 0."""
    from fedfactory.factory.encoders import Key

    keys = json.loads((work / KEYS).read_text())
    return {client: Key(key["encoder"], key["digest"], 0, key_tensor(key)) for client, key in keys.items()}


def run(federation: Federation, progress: Progress) -> FactoryServer:
    """Train with sites whose folders are made; see :func:`train`."""
    from fedfactory.factory.server import FactoryServer

    server = FactoryServer(federation.parameters, federation.seed, federation.work)
    identity = federation.whole_identity()
    checkpoints = Checkpoints(federation.home, identity)
    if rounds := checkpoints.rounds():
        server.load_state_dict(checkpoints.load(rounds[-1]))
    else:
        for name in ("nodes", RESEARCHER):
            shutil.rmtree(federation.home / name, ignore_errors=True)
    _open_records(federation, server)
    if not server.finished:
        progress.update(server.round_number, federation.parameters.federation.total_rounds, "rounds")
        with Processes(federation.logs, federation.home / "tmp") as processes:
            _start(federation, identity, processes)
            _wait(federation, processes, progress)
        if rounds := checkpoints.rounds():
            server.load_state_dict(checkpoints.load(rounds[-1]))
        if not server.finished:
            raise FedFactoryError(
                f"{checkpoints.folder}: the last checkpoint was damaged after the training; start the job again, it "
                f"goes on from round {server.round_number}"
            )
    return server


def _open_records(federation: Federation, server: FactoryServer) -> None:
    """Make the records of sites on this machine, also of those that are never sampled."""
    for client, folder in federation.folders.items():
        card = read_card(folder)
        open_records(Path(card.records), server.allowlist, client, key_tensor(card.key), server.round_number)


def _start(federation: Federation, identity: str, processes: Processes) -> None:
    remote = not federation.folders
    task = researcher.ResearcherTask(
        parameters=federation.parameters.as_json(),
        encoder=federation.encoder,
        seed=federation.seed,
        identity=identity,
        work=str(federation.work.resolve()),
        checkpoints=str(federation.home),
        device=federation.device,
        remote=remote,
    )
    file = federation.home / "task.json"
    with new_file(file) as new:
        new.write_text(json.dumps(asdict(task), indent=1) + "\n")
    settings = _researcher_settings(federation.home, remote)
    processes.start(RESEARCHER, researcher.__name__, ["--task", str(file)], settings, reports=True)
    for client, folder in federation.folders.items():
        arguments = ["--node", read_card(folder).node, "--folder", str(folder)]
        arguments += ["--gpu"] if federation.device == "cuda" else []
        port = int(settings[_PORT])
        processes.start(NODE + client, node.__name__, arguments, node.settings(_HOST, port, approval=False))


def _researcher_settings(home: Path, remote: bool) -> dict[str, str]:
    """Environment of the researcher.

    Raises:
        FedFactoryError: with remote sites, Fed-BioMed's own settings do not say where the sites find the researcher.
    """
    settings = {"FBM_SERVER_NODE_DISCONNECTION_TIMEOUT": str(_DISCONNECTED_AFTER_SECONDS)}
    if not remote:
        place = {_ROOT: str(home / RESEARCHER), "FBM_SERVER_HOST": _HOST, _PORT: str(free_port())}
        return {**settings, **place}
    for name, what in _REMOTE.items():
        if not os.environ.get(name):
            raise FedFactoryError(
                f"with 'factory.federation.mode: remote' set the environment variable {name} to {what}"
            )
    return {**settings, **{name: os.environ[name] for name in _REMOTE}}


def _wait(federation: Federation, processes: Processes, progress: Progress) -> None:
    """Follow the training to its end.

    Raises:
        FedFactoryError: why it cannot go on.
        RuntimeError: a defect.
    """
    for message in processes.messages():
        for name, code in processes.ended().items():
            _ended(name, code, processes.log(name))
        match message:
            case {"done": True}:
                return
            case {"error": str(reason)}:
                raise FedFactoryError(reason)
            case {"unexpected": str(reason)}:
                raise RuntimeError(f"the researcher of Fed-BioMed failed ({reason}); see {processes.log(RESEARCHER)}")
            case {"round": int(number)}:
                progress.update(number, federation.parameters.federation.total_rounds, "rounds")


def _ended(name: str, code: int, log: Path) -> NoReturn:
    what = "researcher of Fed-BioMed" if name == RESEARCHER else f"node of site {name.removeprefix(NODE)}"
    raise FedFactoryError(
        f"the {what} ended before the training did (exit code {code}, log {log}); start the job again, it goes on from "
        "its last checkpoint"
    )
