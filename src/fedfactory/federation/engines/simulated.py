"""The simulated engine: one process per client on this machine, and the server in between.

A client's process opens that client's store and nothing else; the server sees messages only. Sampled clients train side
by side, one thread each, so that the result does not depend on the number of cores.

All clients are on one machine here and belong to the person who trains. When one fails, the server is told a fixed
sentence, as between hospitals; the job then reads that client's own log, as the person could, and shows its sentence.
"""

from __future__ import annotations

import atexit
import json
import multiprocessing
import os
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fedfactory.errors import FedFactoryError
from fedfactory.federation.client import OWN_WEIGHTS, ClientSpec, Message
from fedfactory.federation.client_process import serve
from fedfactory.federation.ledger import FORMS, LEDGER
from fedfactory.federation.loss_table import LOSSES
from fedfactory.federation.message import FAILURE, WEIGHTS, Allowlist, is_failure, pack, size_of, unpack
from fedfactory.federation.own_log import read_own_log
from fedfactory.federation.server import Rounds, Server
from fedfactory.orchestration.portable import is_portable
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.checkpoints import Checkpoints
from fedfactory.storage.files import parse_json

RECORDS = (LEDGER, FORMS, LOSSES)
"""What a client writes down about a training."""
_STOP_SECONDS = 10
_LONGEST_HEADER = 1 << 16
# How multiprocessing's connections refuse one.
_TOO_LONG = "bad message length"
_LONGEST_FOLDER, _SHORT_FOLDER = 70, "/tmp"


class _Failed(Exception):
    """A client said that its part failed."""

    def __init__(self, spec: ClientSpec, sentence: str) -> None:
        super().__init__(sentence)
        self.spec, self.sentence = spec, sentence


@dataclass
class _ClientEnd:
    """The server's end of the pipe to a client's process."""

    spec: ClientSpec
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

    def kept_rounds(self) -> list[int]:
        """Wait until the client is open, and says of which rounds it has a checkpoint."""
        with self._in_time():
            return self._header("rounds", int)["rounds"]

    def done(self, round_number: int) -> None:
        """Wait until the client has followed an order that has no answer."""
        with self._in_time():
            self._expect(round_number, ())

    def message(self, allowlist: Allowlist, round_number: int, fields: tuple[str, ...]) -> Message:
        """Wait for the client's answer to a message, with these fields."""
        with self._in_time():
            self._expect(round_number, fields)
            forms = {field: allowlist.fields[field] for field in fields}
            return {field: unpack(self._read(size_of(own), exactly=True), own) for field, own in forms.items()}

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        """Wait for all of an answer, and not for ever: at the deadline the client's process is killed.

        Raises:
            FedFactoryError: the client does not answer in time, its process is gone, or its answer does not fit.
            _Failed: it says that its part failed.
        """
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self.process.kill()

        timer = threading.Timer(self.rounds.deadline, give_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        except (EOFError, OSError):
            if late.is_set():
                raise FedFactoryError(
                    f"client {self.spec.client} did not answer within {self.rounds.deadline} s "
                    f"('{self.rounds.key}.deadline')"
                ) from None
            raise self._gone() from None
        finally:
            timer.cancel()

    def _expect(self, round_number: int, fields: tuple[str, ...]) -> None:
        header = self._header("fields", str)
        if header.get("round") != round_number or header["fields"] != list(fields):
            raise self._refused(f"no answer of round {round_number} with {', '.join(fields) or 'no field'}")

    def _header(self, name: str, kind: type) -> dict[str, Any]:
        """The announcement of an answer: a table in which a list has a name."""
        try:
            header = parse_json(self._read(_LONGEST_HEADER))
            told = header.get(FAILURE)
            values = None if told is not None else header[name]
        except (ValueError, AttributeError, KeyError):
            raise self._refused("no announcement of an answer") from None
        if told is not None:
            if not is_failure(told):
                raise self._refused("a failure told in other words than the fixed ones")
            raise _Failed(self.spec, told)
        if not isinstance(values, list) or not all(type(value) is kind for value in values):
            raise self._refused("no announcement of an answer")
        return header

    def _read(self, limit: int, exactly: bool = False) -> bytes:
        """One message of so many bytes at most; a longer one is not taken in."""
        try:
            data = self.pipe.recv_bytes(limit)
        except OSError as error:
            if str(error) != _TOO_LONG:
                raise
            raise self._refused(f"a message of more than {limit} bytes") from None
        if exactly and len(data) != limit:
            raise self._refused(f"a message of {len(data)} bytes instead of {limit}")
        return data

    def _refused(self, what: str) -> FedFactoryError:
        return FedFactoryError(
            f"client {self.spec.client} sent {what}; nothing of it was taken over, and the last checkpoint is "
            "from before"
        )

    def _gone(self) -> FedFactoryError:
        self.process.join(_STOP_SECONDS)
        return FedFactoryError(
            f"the process of client {self.spec.client} ended (exit code {self.process.exitcode}); start the job again, "
            "it goes on from its last checkpoint"
        )


def train(
    server: Server, clients: Sequence[ClientSpec], identity: str, work: Path, workers: int, progress: Progress
) -> None:
    """Train what a server and its clients train, or go on with it from the last checkpoint.

    Args:
        server: before the first round; after the last one when this returns.
        clients: in the order of the server's; ``work`` of each then holds its ``ledger.csv`` and ``losses.csv``.
        identity: digest of code and configuration; checkpoints of another one are not continued.
        work: folder for the server's checkpoints; remains for the caller to remove.
        workers: clients that train at the same time; does not change the result.
        progress: updated after every round.

    Raises:
        FedFactoryError: bad data at a client, or a client that does not answer.
    """
    # The means of many small arrays: a second thread would only wait, on a core that a client needs.
    torch.set_num_threads(1)
    checkpoints = Checkpoints(work / "server", identity)
    ends = _start(clients, server.rounds)
    try:
        _resume(server, checkpoints, ends)
        while not server.finished:
            _round(server, ends, workers)
            if server.checkpoint_due:
                _checkpoint(server, checkpoints, ends)
            progress.update(server.round_number, server.rounds.total, "rounds")
        for end in ends:
            end.send({"do": "stop"})
    except _Failed as failed:
        raise _explained(failed) from None
    finally:
        for end in ends:
            end.pipe.close()
        for end in ends:
            end.process.join(_STOP_SECONDS)
            end.process.kill()


def _explained(failed: _Failed) -> FedFactoryError:
    """What the person who runs all clients on this machine can read in the failed one's own log."""
    story = read_own_log(Path(failed.spec.work))
    return FedFactoryError(f"client {failed.spec.client}: {failed.sentence if story is None else story}")


def publish_records(clients: Sequence[ClientSpec], folder: Path) -> None:
    """Copy what the clients of a training wrote down, and kept of the model, to ``<folder>/sites/<client>``."""
    for spec in clients:
        own = folder / "sites" / spec.client
        own.mkdir(parents=True)
        for name in RECORDS:
            shutil.copyfile(Path(spec.work) / name, own / name)
        if (kept := Path(spec.work) / OWN_WEIGHTS).is_file():
            shutil.copyfile(kept, own / OWN_WEIGHTS)


def _start(specs: Sequence[ClientSpec], rounds: Rounds) -> list[_ClientEnd]:
    """Start the clients: forked from a process that has imported what they need, and has opened no store."""
    # The number of threads changes the last bits of a sum; libraries read it when they load.
    settings = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    # The job's own process will do if it computes with one thread, and has no card, which a fork cannot share.
    own = is_portable() and all(spec.device == "cpu" for spec in specs)
    context: Any = multiprocessing.get_context("fork" if own else "forkserver")
    if not own:
        _keep_sockets_short()
        context.set_forkserver_preload(["torch", "fedfactory.federation.client_process", *{s.module for s in specs}])
    ends: list[_ClientEnd] = []
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    for spec in specs:
        ours, theirs = context.Pipe()
        # A copy of this process holds the server's ends of all pipes as well.
        foreign = [ours, *(end.pipe for end in ends)] if own else []
        process = context.Process(target=serve, args=(theirs, foreign, json.dumps(asdict(spec))), daemon=True)
        process.start()
        theirs.close()
        ends.append(_ClientEnd(spec, process, ours, rounds))
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
    return ends


def _keep_sockets_short() -> None:
    """The path of a fork server's socket may have some hundred characters: a scheduler's TMPDIR may have more."""
    settings: Any = multiprocessing.current_process()
    if len(tempfile.gettempdir()) > _LONGEST_FOLDER and settings._config.get("tempdir") is None:
        folder = tempfile.mkdtemp(prefix="fedfactory-", dir=_SHORT_FOLDER)
        settings._config["tempdir"] = folder
        atexit.register(shutil.rmtree, folder, ignore_errors=True)


def _resume(server: Server, checkpoints: Checkpoints, clients: Sequence[_ClientEnd]) -> None:
    """Go back to the last round for which server and clients all have a checkpoint; round 0 needs none."""
    common = set(checkpoints.rounds())
    for client in clients:
        common &= set(client.kept_rounds())
    start = max(common, default=0)
    checkpoints.forget_after(start)
    if start:
        server.load_state_dict(checkpoints.load(start))
    for client in clients:
        client.send({"do": "start", "round": start})
        client.done(start)


def _round(server: Server, clients: Sequence[_ClientEnd], workers: int) -> None:
    answers: dict[str, dict[int, Message]] = {}
    for phase in server.phases:
        answers[phase] = _phase(server, clients, workers, phase, answers)
    server.accept({index: answer[WEIGHTS] for index, answer in answers[server.phases[-1]].items()})


def _phase(
    server: Server,
    clients: Sequence[_ClientEnd],
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
            found[index] = clients[index].message(server.allowlist, server.round_number, server.answered(phase))
    return found


def _checkpoint(server: Server, checkpoints: Checkpoints, clients: Sequence[_ClientEnd]) -> None:
    for client in clients:
        client.send({"do": "checkpoint", "round": server.round_number})
    for client in clients:
        client.done(server.round_number)
    checkpoints.save(server.round_number, server.state_dict())
