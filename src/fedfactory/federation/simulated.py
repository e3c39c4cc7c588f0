"""The simulated engine: one process per client on this machine, and the aggregator in between.

A client's process opens that client's store and nothing else; the aggregator sees messages only. Sampled clients train
side by side, one thread each, so that the result does not depend on the number of cores.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from fedfactory.checkpoints import Checkpoints
from fedfactory.errors import FedFactoryError
from fedfactory.factory.parameters import FactoryParameters
from fedfactory.federation.message import Allowlist, pack, unpack
from fedfactory.federation.server import Server
from fedfactory.federation.site import SiteTask, serve
from fedfactory.progress import Progress

log = logging.getLogger(__name__)

_STOP_SECONDS = 10


@dataclass
class _Client:
    """The aggregator's end of one client's process."""

    name: str
    process: BaseProcess
    pipe: Connection
    deadline: int

    def send(self, header: Mapping[str, Any], payload: bytes | None = None) -> None:
        try:
            self.pipe.send_bytes(json.dumps(header).encode())
            if payload is not None:
                self.pipe.send_bytes(payload)
        except OSError:
            raise self._gone() from None

    def answer(self) -> dict[str, Any]:
        """Wait for the client's answer.

        Raises:
            FedFactoryError: the client reports an error, does not answer in time, or its process is gone.
        """
        try:
            if not self.pipe.poll(self.deadline):
                raise FedFactoryError(
                    f"client {self.name} did not answer within {self.deadline} s ('factory.federation.deadline')"
                )
            header = json.loads(self.pipe.recv_bytes())
        except (EOFError, OSError):
            raise self._gone() from None
        if "trace" in header:
            log.error("client %s: %s", self.name, header["trace"])
        if "error" in header:
            raise FedFactoryError(f"client {self.name}: {header['error']}")
        return header

    def payload(self) -> bytes:
        try:
            return self.pipe.recv_bytes()
        except (EOFError, OSError):
            raise self._gone() from None

    def _gone(self) -> FedFactoryError:
        self.process.join(_STOP_SECONDS)
        return FedFactoryError(
            f"the process of client {self.name} ended (exit code {self.process.exitcode}); start the job again, it goes"
            " on from its last checkpoint"
        )


def train(
    parameters: FactoryParameters,
    sites: Sequence[SiteTask],
    seed: int,
    identity: str,
    work: Path,
    workers: int,
    progress: Progress,
) -> Server:
    """Train the factory, or go on with it from its last checkpoint.

    Args:
        parameters: of the factory.
        sites: one task per client, in the order of ``parameters.clients``.
        seed: of the training.
        identity: digest of code and configuration; checkpoints of another one are not continued.
        work: folder for checkpoints, snapshots and the sites' own files; remains for the caller to remove.
        workers: clients that train at the same time; does not change the result.
        progress: updated after every round.

    Returns:
        The aggregator after the last round; ``work/sites/<client>`` holds ``ledger.csv`` and ``losses.csv`` of each
        client, ``work/snapshots`` the averaged generator over time.

    Raises:
        FedFactoryError: bad data at a client, or a client that does not answer.
    """
    import torch

    # The means of many small arrays: a second thread would only wait, on a core that a client needs.
    torch.set_num_threads(1)
    server = Server(parameters, seed, work)
    checkpoints = Checkpoints(work / "aggregator", identity)
    clients = [_start(task, parameters.federation.deadline) for task in sites]
    try:
        _resume(server, checkpoints, clients)
        allowlist = Allowlist.of(parameters.clients, parameters.network.key_size, server.weights)
        while not server.finished:
            _round(server, clients, allowlist, workers)
            if server.checkpoint_due:
                _checkpoint(server, checkpoints, clients)
            progress.update(server.round_number, parameters.federation.total_rounds, "rounds")
        for client in clients:
            client.send({"do": "stop"})
    finally:
        for client in clients:
            client.pipe.close()
        for client in clients:
            client.process.join(_STOP_SECONDS)
            client.process.kill()
    return server


def _start(task: SiteTask, deadline: int) -> _Client:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    # Read by the libraries when the child loads them; the number of threads changes the last bits of a sum.
    settings = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    process = context.Process(target=serve, args=(theirs, json.dumps(asdict(task)), os.getpid()), daemon=True)
    process.start()
    theirs.close()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
    return _Client(task.client, process, ours, deadline)


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


def _round(server: Server, clients: Sequence[_Client], allowlist: Allowlist, workers: int) -> None:
    data, models = pack(server.weights), {}
    waiting = server.sampled()
    while waiting:
        group, waiting = waiting[:workers], waiting[workers:]
        for index in group:
            clients[index].send({"do": "round", "round": server.round_number}, data)
        for index in group:
            clients[index].answer()
            models[index] = unpack(clients[index].payload(), allowlist.weights)
    server.accept(models)


def _checkpoint(server: Server, checkpoints: Checkpoints, clients: Sequence[_Client]) -> None:
    for client in clients:
        client.send({"do": "checkpoint", "round": server.round_number})
    for client in clients:
        client.answer()
    checkpoints.save(server.round_number, server.state_dict())
