"""One client of the simulated engine, in a process of its own: it alone opens the client's store."""

from __future__ import annotations

import csv
import hashlib
import json
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fedfactory.devices import make_deterministic
from fedfactory.errors import FedFactoryError
from fedfactory.federation.parent import die_with_parent
from fedfactory.files import new_file


@dataclass(frozen=True)
class SiteTask:
    """What a client's process is told when it starts; plain values.

    Attributes:
        client: the client's name.
        data: folder of its store.
        key: file of its CLIP key.
        encoder: parameters of the key's encoder.
        parameters: of the factory, as JSON data.
        seed: of the training.
        identity: digest of code and configuration.
        work: the client's own folder for checkpoints, ledger and losses.
        device: ``cpu`` or ``cuda``.
    """

    client: str
    data: str
    key: str
    encoder: Mapping[str, Any]
    parameters: Mapping[str, Any]
    seed: int
    identity: str
    work: str
    device: str


def serve(pipe: Connection, task: str, parent: int) -> None:
    """Answer the aggregator until it says stop or goes away; errors become answers.

    Args:
        pipe: to the aggregator.
        task: :class:`SiteTask` as JSON.
        parent: process id of the aggregator; nothing is written any more once it is gone.
    """
    die_with_parent(parent)
    try:
        try:
            _Site(SiteTask(**json.loads(task))).serve(pipe)
        except FedFactoryError as error:
            pipe.send_bytes(json.dumps({"error": str(error)}).encode())
        except Exception as error:
            found = {"error": f"unexpected {type(error).__name__}: {error}", "trace": traceback.format_exc()}
            pipe.send_bytes(json.dumps(found).encode())
    except (EOFError, OSError):
        # The aggregator is gone; nobody is left to tell.
        return


class _Site:
    """The client's side of the training."""

    def __init__(self, task: SiteTask) -> None:
        import torch

        from fedfactory.checkpoints import Checkpoints
        from fedfactory.factory.local import LocalState
        from fedfactory.factory.networks import FactoryModel
        from fedfactory.factory.parameters import FactoryParameters
        from fedfactory.factory.site_data import load_site
        from fedfactory.federation.message import Allowlist

        torch.set_num_threads(1)
        make_deterministic(task.device)
        self._task = task
        self._parameters = FactoryParameters.from_json(task.parameters)
        self._site = load_site(
            task.client, Path(task.data), Path(task.key), task.encoder, self._parameters, task.device
        )
        self._model = FactoryModel(self._parameters.network).to(task.device)
        self._state = LocalState(self._model, self._parameters.training)
        weights = self._model.state_dict()
        self._allowlist = Allowlist.of(self._parameters.clients, self._parameters.network.key_size, weights)
        work = Path(task.work)
        own = hashlib.sha256(self._site.images.cpu().numpy().tobytes() + self._site.key.cpu().numpy().tobytes())
        self._checkpoints = Checkpoints(work / "state", f"{task.identity} {own.hexdigest()}")
        self._losses = work / "losses.csv"

    def serve(self, pipe: Connection) -> None:
        pipe.send_bytes(json.dumps({"rounds": self._checkpoints.rounds()}).encode())
        while True:
            order = json.loads(pipe.recv_bytes())
            if order["do"] == "stop":
                return
            payload = None
            if order["do"] == "start":
                self._start(order["round"])
            elif order["do"] == "checkpoint":
                state = self._state.state_dict(self._parameters.federation.persistent_optimisers)
                self._checkpoints.save(order["round"], state)
            else:
                payload = self._round(order["round"], pipe.recv_bytes())
            pipe.send_bytes(b"{}")
            if payload is not None:
                pipe.send_bytes(payload)

    def _start(self, round_number: int) -> None:
        from fedfactory.federation.ledger import ANNOUNCEMENT, IN, OUT, Ledger

        self._in, self._out = IN, OUT
        self._checkpoints.forget_after(round_number)
        if round_number:
            self._state.load_state_dict(self._checkpoints.load(round_number))
        work = Path(self._task.work)
        self._ledger = Ledger(work, self._allowlist, until_round=round_number or ANNOUNCEMENT)
        if not round_number:
            # What the later stages need of a site besides the model: its name and its key.
            announcement = {"client": self._task.client, "key": self._site.key.cpu()}
            self._ledger.record(ANNOUNCEMENT, self._task.client, OUT, announcement)
        keep_rows(self._losses, round_number)

    def _round(self, round_number: int, data: bytes) -> bytes:
        from fedfactory.factory.local import local_round
        from fedfactory.federation.message import pack, unpack

        weights = unpack(data, self._allowlist.weights)
        self._ledger.record(round_number, self._task.client, self._in, {"weights": weights}, data)
        self._model.load_state_dict(weights)
        found = local_round(self._model, self._state, self._site, self._parameters, self._task.seed, round_number)
        append_row(self._losses, {"round": round_number, **found})
        trained = {name: value.cpu() for name, value in self._model.state_dict().items()}
        answer = pack(trained)
        self._ledger.record(round_number, self._task.client, self._out, {"weights": trained}, answer)
        return answer


LOSS_COLUMNS = ("round", "discriminator", "generator", "r1", "path_length", "refinement", "augmentation")


def keep_rows(file: Path, until_round: int) -> None:
    """Start a table of losses, or cut off the rounds that a resumed training writes again."""
    rows = []
    if file.exists():
        with file.open(newline="") as stream:
            rows = [row for row in csv.DictReader(stream) if row["augmentation"] and int(row["round"]) < until_round]
    with new_file(file) as new, new.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, LOSS_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def append_row(file: Path, row: Mapping[str, Any]) -> None:
    """Add the losses of one round."""
    with file.open("a", newline="") as stream:
        csv.DictWriter(stream, LOSS_COLUMNS, lineterminator="\n").writerow(row)
