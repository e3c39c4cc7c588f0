"""The simulated engine: one process per client on this machine, and the aggregator in between.

A client's process opens that client's store and nothing else; the aggregator sees messages only. Sampled clients train
side by side, one thread each, so that the result does not depend on the number of cores.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedfactory.errors import FedFactoryError
from fedfactory.federation.client import CLIENTS, ClientSpec, Message
from fedfactory.federation.client_process import serve
from fedfactory.federation.loss_table import RECORDS
from fedfactory.federation.message import WEIGHTS, Allowlist, pack, unpack
from fedfactory.federation.server import Rounds, Server
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.checkpoints import Checkpoints

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

_STOP_SECONDS = 10


@dataclass
class _Client:
    """The aggregator's end of one client's process."""

    name: str
    process: BaseProcess
    pipe: Connection
    rounds: Rounds

    def send(self, header: Mapping[str, Any], payloads: Iterable[bytes] = ()) -> None:
        try:
            self.pipe.send_bytes(json.dumps(header).encode())
            for payload in payloads:
                self.pipe.send_bytes(payload)
        except OSError:
            raise self._gone() from None

    def answer(self) -> dict[str, Any]:
        """Wait for the client's answer.

        Raises:
            FedFactoryError: the client reports an error, does not answer in time, or its process is gone.
        """
        try:
            if not self.pipe.poll(self.rounds.deadline):
                raise FedFactoryError(
                    f"client {self.name} did not answer within {self.rounds.deadline} s ('{self.rounds.key}.deadline')"
                )
            header = json.loads(self.pipe.recv_bytes())
        except (EOFError, OSError):
            raise self._gone() from None
        if "trace" in header:
            log.error("client %s: %s", self.name, header["trace"])
        if "error" in header:
            raise FedFactoryError(f"client {self.name}: {header['error']}")
        return header

    def message(self, allowlist: Allowlist) -> Message:
        """Wait for the client's answer to a message.

        Raises:
            FedFactoryError: as :meth:`answer`, or something that does not fit.
        """
        fields = self.answer()["fields"]
        try:
            return {field: unpack(self.pipe.recv_bytes(), allowlist.fields[field]) for field in fields}
        except (EOFError, OSError):
            raise self._gone() from None

    def _gone(self) -> FedFactoryError:
        self.process.join(_STOP_SECONDS)
        return FedFactoryError(
            f"the process of client {self.name} ended (exit code {self.process.exitcode}); start the job again, it goes"
            " on from its last checkpoint"
        )


def train(
    server: Server, sites: Sequence[ClientSpec], identity: str, work: Path, workers: int, progress: Progress
) -> None:
    """Train what a server and its clients train, or go on with it from the last checkpoint.

    Args:
        server: the aggregator before the first round; after the last one when this returns.
        sites: one task per client, in the order of the server's; ``work`` of each then holds its ``ledger.csv`` and
            ``losses.csv``.
        identity: digest of code and configuration; checkpoints of another one are not continued.
        work: folder for the aggregator's checkpoints; remains for the caller to remove.
        workers: clients that train at the same time; does not change the result.
        progress: updated after every round.

    Raises:
        FedFactoryError: bad data at a client, or a client that does not answer.
    """
    import torch

    # The means of many small arrays: a second thread would only wait, on a core that a client needs.
    torch.set_num_threads(1)
    checkpoints = Checkpoints(work / "aggregator", identity)
    clients = [_start(task, server.rounds) for task in sites]
    try:
        _resume(server, checkpoints, clients)
        while not server.finished:
            _round(server, clients, workers)
            if server.checkpoint_due:
                _checkpoint(server, checkpoints, clients)
            progress.update(server.round_number, server.rounds.total, "rounds")
        for client in clients:
            client.send({"do": "stop"})
    finally:
        for client in clients:
            client.pipe.close()
        for client in clients:
            client.process.join(_STOP_SECONDS)
            client.process.kill()


def publish_records(sites: Sequence[ClientSpec], folder: Path) -> None:
    """Copy what the clients of a training wrote down to ``<folder>/sites/<client>``."""
    for task in sites:
        own = folder / "sites" / task.client
        own.mkdir(parents=True)
        for name in RECORDS:
            shutil.copyfile(Path(task.work) / name, own / name)


def _start(task: ClientSpec, rounds: Rounds) -> _Client:
    # Clients are forked from a process that has imported what they need, and has seen no data.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "fedfactory.federation.client_process", CLIENTS[task.kind]])
    ours, theirs = context.Pipe()
    # Read by the libraries when the fork server loads them; the number of threads changes the last bits of a sum.
    settings = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    process = context.Process(target=serve, args=(theirs, json.dumps(asdict(task))), daemon=True)
    process.start()
    theirs.close()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
    return _Client(task.client, process, ours, rounds)


def _resume(server: Server, checkpoints: Checkpoints, clients: Sequence[_Client]) -> None:
    """Go back to the last round for which every party has a checkpoint; round 0 needs none."""
    common = set(checkpoints.rounds())
    for client in clients:
        common &= set(client.answer()["rounds"])
    start = max(common, default=0)
    checkpoints.forget_after(start)
    if start:
        server.load_state_dict(checkpoints.load(start))
    for client in clients:
        client.send({"do": "start", "round": start})
        client.answer()


def _round(server: Server, clients: Sequence[_Client], workers: int) -> None:
    answers: dict[str, dict[int, Message]] = {}
    for phase in server.phases:
        answers[phase] = _phase(server, clients, workers, phase, answers)
    server.accept({index: answer[WEIGHTS] for index, answer in answers[server.phases[-1]].items()})


def _phase(
    server: Server,
    clients: Sequence[_Client],
    workers: int,
    phase: str,
    earlier: Mapping[str, Mapping[int, Message]],
) -> dict[int, Message]:
    """Send every sampled client its message, and collect the answers."""
    # Most clients are sent the same arrays: packed once, and kept, so that no other object takes their id.
    packed: dict[int, tuple[Mapping[str, Tensor], bytes]] = {}
    found, waiting = {}, server.sampled()
    while waiting:
        group, waiting = waiting[:workers], waiting[workers:]
        for index in group:
            message = server.message(phase, index, earlier)
            packed |= {id(arrays): (arrays, pack(arrays)) for arrays in message.values() if id(arrays) not in packed}
            header = {"do": "round", "round": server.round_number, "phase": phase, "fields": list(message)}
            clients[index].send(header, [packed[id(arrays)][1] for arrays in message.values()])
        for index in group:
            found[index] = clients[index].message(server.allowlist)
    return found


def _checkpoint(server: Server, checkpoints: Checkpoints, clients: Sequence[_Client]) -> None:
    for client in clients:
        client.send({"do": "checkpoint", "round": server.round_number})
    for client in clients:
        client.answer()
    checkpoints.save(server.round_number, server.state_dict())
