"""The job's side of a training with Fed-BioMed: prepares, starts, watches and ends all of its processes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from fedfactory.errors import FedFactoryError
from fedfactory.federation.client import own_module

# Imported for their names; they import Fed-BioMed only as processes of their own.
from fedfactory.federation.engines.fedbiomed import node, researcher
from fedfactory.federation.engines.fedbiomed.folder import ANNOUNCED, folder_digest, read_description
from fedfactory.federation.engines.fedbiomed.processes import Processes, free_port
from fedfactory.federation.engines.fedbiomed.records import open_records
from fedfactory.federation.engines.fedbiomed.trained import TrainedAtServer
from fedfactory.federation.own_log import OWN_LOG, read_own_log
from fedfactory.federation.server import Server
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.checkpoints import Checkpoints
from fedfactory.storage.files import new_file

# Nodes must use exactly the name that is in the researcher's certificate.
_HOST = "localhost"
# Large models keep a node too busy to answer for a minute.
_DISCONNECTED_AFTER_SECONDS = 120
# Names of processes and of their logs.
RESEARCHER, NODE = "researcher", "node_"
_ROOT, _PORT = "FBM_RESEARCHER_COMPONENT_ROOT", "FBM_SERVER_PORT"
# A node that runs trusts the certificate that it saw first: the researcher's folder outlives a training.
_REMOTE = {
    _ROOT: "a folder for the researcher that you keep: the clients trust its certificate",
    "FBM_SERVER_HOST": "the host name that the clients connect to",
    _PORT: "the port that the clients connect to",
}


@dataclass(frozen=True)
class Federation:
    """A training and its clients.

    Attributes:
        trained: full name of a module of this package, as
            :class:`~fedfactory.federation.engines.fedbiomed.trained.TrainedAtServer`.
        arguments: of what is trained, as JSON data.
        seed: of the training.
        identity: digest of code and configuration.
        device: ``cpu`` or ``cuda``.
        folders: client -> its node's folder on this machine; empty with remote clients.
        work: folder for checkpoints, nodes and records; remains for the caller to remove.
        logs: folder for one log per process.
    """

    trained: str
    arguments: Mapping[str, Any]
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


def node_folder(work: Path, client: str) -> Path:
    """Folder of a client's node on this machine."""
    return (work / "fedbiomed" / "nodes" / client).resolve()


def client_folder(work: Path, client: str) -> Path:
    """Folder of what a client's node on this machine reads."""
    return (work / "client_folders" / client).resolve()


def records_folder(work: Path, client: str) -> Path:
    """Folder of the records of a client on this machine."""
    return (work / "sites" / client).resolve()


def announced(work: Path) -> dict[str, dict[str, Any]]:
    """What the clients of a training announced."""
    return json.loads((work / ANNOUNCED).read_text())


def train(federation: Federation, progress: Progress) -> Server:
    """Train with clients whose folders are made, or go on from the last checkpoint.

    Args:
        federation: what to train.
        progress: updated after every round.

    Returns:
        The server after the last round; ``work/sites/<client>`` holds the records of each client. With remote clients
        these are the server's, without losses, which stay at the clients.

    Raises:
        FedFactoryError: a client that fails or does not answer, or one with another version of this package.
    """
    trained: TrainedAtServer = own_module(federation.trained)
    server = trained.open_server(federation.arguments, federation.seed, federation.work)
    identity = federation.whole_identity()
    checkpoints = Checkpoints(federation.home, identity)
    if rounds := checkpoints.rounds():
        server.load_state_dict(checkpoints.load(rounds[-1]))
    else:
        for name in ("nodes", RESEARCHER):
            shutil.rmtree(federation.home / name, ignore_errors=True)
    _open_records(federation, trained, server)
    if not server.finished:
        progress.update(server.round_number, server.rounds.total, "rounds")
        with Processes(federation.logs, federation.home / "tmp") as processes:
            _start(federation, identity, server.rounds.key, processes)
            _wait(federation, server.rounds.total, processes, progress)
        if rounds := checkpoints.rounds():
            server.load_state_dict(checkpoints.load(rounds[-1]))
        if not server.finished:
            raise FedFactoryError(
                f"{checkpoints.folder}: the last checkpoint was damaged after the training; start the job again, it "
                f"goes on from round {server.round_number}"
            )
    return server


def _open_records(federation: Federation, trained: TrainedAtServer, server: Server) -> None:
    """Make the records of clients on this machine, also of those that are never sampled."""
    for client, folder in federation.folders.items():
        description = read_description(folder)
        records, message = Path(description.records), trained.announcement(client, description.announced)
        (records / OWN_LOG).unlink(missing_ok=True)
        open_records(records, server.allowlist_of(client), message, trained.loss_columns, server.round_number)


def _start(federation: Federation, identity: str, key: str, processes: Processes) -> None:
    remote = not federation.folders
    task = researcher.ResearcherTask(
        trained=federation.trained,
        arguments=federation.arguments,
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
    settings = _researcher_settings(federation.home, key, remote)
    processes.start(RESEARCHER, researcher.__name__, ["--task", str(file)], settings, reports=True)
    for client, folder in federation.folders.items():
        arguments = ["--node", read_description(folder).node, "--folder", str(folder)]
        arguments += ["--gpu"] if federation.device == "cuda" else []
        port = int(settings[_PORT])
        processes.start(NODE + client, node.__name__, arguments, node.settings(_HOST, port, approval=False))


def _researcher_settings(home: Path, key: str, remote: bool) -> dict[str, str]:
    """Environment of the researcher.

    Raises:
        FedFactoryError: with remote clients, Fed-BioMed's own settings do not say where they find the researcher.
    """
    settings = {"FBM_SERVER_NODE_DISCONNECTION_TIMEOUT": str(_DISCONNECTED_AFTER_SECONDS)}
    if not remote:
        place = {_ROOT: str(home / RESEARCHER), "FBM_SERVER_HOST": _HOST, _PORT: str(free_port())}
        return {**settings, **place}
    for name, what in _REMOTE.items():
        if not os.environ.get(name):
            raise FedFactoryError(f"with '{key}.mode: remote' set the environment variable {name} to {what}")
    return {**settings, **{name: os.environ[name] for name in _REMOTE}}


def _wait(federation: Federation, total: int, processes: Processes, progress: Progress) -> None:
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
                raise FedFactoryError("; ".join([reason, *_own_logs(federation)]))
            case {"unexpected": str(reason)}:
                raise RuntimeError(f"the researcher of Fed-BioMed failed ({reason}); see {processes.log(RESEARCHER)}")
            case {"round": int(number)}:
                progress.update(number, total, "rounds")


def _own_logs(federation: Federation) -> list[str]:
    """What the clients on this machine, which belong to the person who trains, wrote into their own logs."""
    records = {client: Path(read_description(folder).records) for client, folder in federation.folders.items()}
    found = {client: read_own_log(folder) for client, folder in records.items()}
    return [f"client {client}: {story}" for client, story in found.items() if story is not None]


def _ended(name: str, code: int, log: Path) -> NoReturn:
    what = "researcher of Fed-BioMed" if name == RESEARCHER else f"node of client {name.removeprefix(NODE)}"
    raise FedFactoryError(
        f"the {what} ended before the training did (exit code {code}, log {log}); start the job again, it goes on from "
        "its last checkpoint"
    )
