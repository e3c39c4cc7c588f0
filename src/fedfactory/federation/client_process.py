"""One client of the simulated engine, in a process of its own: it alone opens the client's store."""

from __future__ import annotations

import json
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

from fedfactory.errors import FedFactoryError
from fedfactory.federation.client import TRAIN, ClientSpec, open_client
from fedfactory.federation.lifetime import die_with_fork_server
from fedfactory.federation.loss_table import LOSSES, append_row, keep_rows
from fedfactory.federation.message import pack, unpack
from fedfactory.training.devices import make_deterministic


def serve(pipe: Connection, task: str) -> None:
    """Answer the aggregator until it says stop or goes away; errors become answers.

    Args:
        pipe: to the aggregator.
        task: :class:`ClientSpec` as JSON.
    """
    # Nothing is written any more once the aggregator is gone.
    die_with_fork_server()
    try:
        try:
            _ClientProcess(ClientSpec(**json.loads(task))).serve(pipe)
        except FedFactoryError as error:
            pipe.send_bytes(json.dumps({"error": str(error)}).encode())
        except Exception as error:
            found = {"error": f"unexpected {type(error).__name__}: {error}", "trace": traceback.format_exc()}
            pipe.send_bytes(json.dumps(found).encode())
    except (EOFError, OSError):
        # The aggregator is gone; nobody is left to tell.
        return


class _ClientProcess:
    """The client's side of the training: messages, ledger, checkpoints."""

    def __init__(self, task: ClientSpec) -> None:
        import torch

        from fedfactory.storage.checkpoints import Checkpoints

        torch.set_num_threads(1)
        make_deterministic(task.device)
        self._task, self._client = task, open_client(task)
        self._work = Path(task.work)
        self._checkpoints = Checkpoints(self._work / "state", f"{task.identity} {self._client.fingerprint}")

    def serve(self, pipe: Connection) -> None:
        pipe.send_bytes(json.dumps({"rounds": self._checkpoints.rounds()}).encode())
        while True:
            order = json.loads(pipe.recv_bytes())
            answer: dict[str, bytes] = {}
            if order["do"] == "stop":
                return
            if order["do"] == "start":
                self._start(order["round"])
            elif order["do"] == "checkpoint":
                self._checkpoints.save(order["round"], self._client.state_dict())
            else:
                message = {field: pipe.recv_bytes() for field in order["fields"]}
                answer = self._answer(order["round"], order["phase"], message)
            pipe.send_bytes(json.dumps({"fields": list(answer)}).encode())
            for data in answer.values():
                pipe.send_bytes(data)

    def _start(self, round_number: int) -> None:
        from fedfactory.federation.ledger import ANNOUNCEMENT, OUT, Ledger

        self._checkpoints.forget_after(round_number)
        if round_number:
            self._client.load_state_dict(self._checkpoints.load(round_number))
        self._ledger = Ledger(self._work, self._client.allowlist, until_round=round_number or ANNOUNCEMENT)
        if not round_number:
            self._ledger.record(ANNOUNCEMENT, self._task.client, OUT, self._client.announcement())
        keep_rows(self._work / LOSSES, self._client.loss_columns, round_number)

    def _answer(self, round_number: int, phase: str, data: dict[str, bytes]) -> dict[str, bytes]:
        from fedfactory.federation.ledger import IN, OUT

        fields = self._client.allowlist.fields
        message = {field: unpack(content, fields[field]) for field, content in data.items()}
        self._ledger.record(round_number, self._task.client, IN, message, data)
        answer, losses = self._client.answer(round_number, phase, message)
        if phase == TRAIN and self._task.device == "cuda":
            import torch

            # Clients share a card: what this one needed for its round is the next one's.
            torch.cuda.empty_cache()
        if losses is not None:
            append_row(self._work / LOSSES, self._client.loss_columns, {"round": round_number, **losses})
        packed = {field: pack(arrays) for field, arrays in answer.items()}
        self._ledger.record(round_number, self._task.client, OUT, answer, packed)
        return packed
