"""One client of the simulated engine, in a process of its own: it alone opens the client's store."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fedfactory.federation.client import OWN_WEIGHTS, TRAIN, ClientSpec, FederatedClient, open_client
from fedfactory.federation.ledger import ANNOUNCEMENT, IN, OUT, Ledger, record_failure
from fedfactory.federation.lifetime import die_with_server
from fedfactory.federation.loss_table import LOSSES, append_row, keep_rows
from fedfactory.federation.message import FAILURE, pack, unpack
from fedfactory.federation.own_log import OWN_LOG, write_own_log
from fedfactory.storage.checkpoints import Checkpoints
from fedfactory.storage.tensors import write_tensors
from fedfactory.training.devices import make_deterministic


class _ServerGone(Exception):
    """Nobody is left to answer."""


def serve(pipe: Connection, foreign: Iterable[Connection], spec: str) -> None:
    """Answer the server until it says stop or goes away.

    Of an error only a fixed sentence crosses, and it is in the ledger. The full story stays in the client's own log.

    Args:
        pipe: to the server.
        foreign: the server's ends of this and of other clients' pipes, if this process has inherited them.
        spec: :class:`ClientSpec` as JSON.
    """
    # Nothing is written any more once the server is gone.
    die_with_server()
    for end in foreign:
        end.close()
    process = _ClientProcess(pipe, ClientSpec(**json.loads(spec)))
    try:
        try:
            process.serve()
        except _ServerGone:
            raise
        except Exception as error:
            process.fail(error)
    except _ServerGone:
        return


class _ClientProcess:
    """The client's side of the training: messages, ledger, checkpoints."""

    def __init__(self, pipe: Connection, spec: ClientSpec) -> None:
        self._pipe, self._spec, self._work = pipe, spec, Path(spec.work)
        # Of the order that is being followed, for the ledger of a failure.
        self._round: Any = None

    def serve(self) -> None:
        """Open the client, and follow orders until the last one.

        Raises:
            _ServerGone: there will be none.
        """
        torch.set_num_threads(1)
        make_deterministic(self._spec.device)
        for left in (OWN_LOG, OWN_WEIGHTS):
            (self._work / left).unlink(missing_ok=True)
        client = open_client(self._spec)
        checkpoints = Checkpoints(self._work / "state", f"{self._spec.identity} {client.fingerprint}")
        self._send({"rounds": checkpoints.rounds()})
        while (order := json.loads(self._receive()))["do"] != "stop":
            answer: Mapping[str, bytes] = {}
            self._round = number = int(order["round"])
            if order["do"] == "start":
                self._start(client, checkpoints, number)
            elif order["do"] == "checkpoint":
                checkpoints.save(number, client.state_dict())
                self._keep(client.own_weights())
            else:
                message = {field: self._receive() for field in order["fields"]}
                answer = self._answer(client, number, order["phase"], message)
            self._send({"round": number, "fields": list(answer)}, answer)

    def fail(self, error: Exception) -> None:
        """Say that this client failed, and keep the story here.

        Raises:
            _ServerGone: nobody hears it.
        """
        write_own_log(self._work, error)
        self._send({FAILURE: record_failure(self._work, self._spec.client, error, self._round)})

    def _start(self, client: FederatedClient, checkpoints: Checkpoints, number: int) -> None:
        """Go back to the state before a round."""
        checkpoints.forget_after(number)
        if number:
            client.load_state_dict(checkpoints.load(number))
            self._keep(client.own_weights())
        self._ledger = Ledger(self._work, client.allowlist, until_round=number or ANNOUNCEMENT)
        if not number:
            self._ledger.record(ANNOUNCEMENT, self._spec.client, OUT, client.announcement())
        keep_rows(self._work / LOSSES, client.loss_columns, number)

    def _keep(self, own: Mapping[str, Tensor]) -> None:
        """Write down what of the model stays here; after the last round, what the client's predictions need."""
        if own:
            write_tensors({name: value.cpu() for name, value in own.items()}, self._work / OWN_WEIGHTS)

    def _answer(self, client: FederatedClient, number: int, phase: str, data: Mapping[str, bytes]) -> dict[str, bytes]:
        """Take part in a phase of a round."""
        fields = client.allowlist.fields
        message = {field: unpack(content, fields[field]) for field, content in data.items()}
        self._ledger.record(number, self._spec.client, IN, message, data)
        answer, losses = client.answer(number, phase, message)
        if phase == TRAIN and self._spec.device == "cuda":
            # Clients share a card: what this one needed for its round is the next one's.
            torch.cuda.empty_cache()
        if losses is not None:
            append_row(self._work / LOSSES, client.loss_columns, {"round": number, **losses})
        packed = {field: pack(arrays) for field, arrays in answer.items()}
        self._ledger.record(number, self._spec.client, OUT, answer, packed)
        return packed

    def _receive(self) -> bytes:
        try:
            return self._pipe.recv_bytes()
        except (EOFError, OSError):
            raise _ServerGone from None

    def _send(self, header: Mapping[str, Any], payloads: Mapping[str, bytes] | None = None) -> None:
        try:
            self._pipe.send_bytes(json.dumps(header).encode())
            for data in (payloads or {}).values():
                self._pipe.send_bytes(data)
        except OSError:
            raise _ServerGone from None
