"""A client that sends what it should not, or nothing at all, is named, and the server neither waits nor takes it in."""

import json
import os
import struct
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch

from fedfactory.errors import FedFactoryError
from fedfactory.federation.client import ClientSpec
from fedfactory.federation.engines import simulated
from fedfactory.federation.message import WEIGHTS, Allowlist, pack
from fedfactory.federation.server import Rounds, Server
from fedfactory.orchestration.progress import Progress

CLIENTS = ("near", "mid", "far")
MODEL = {"w": torch.tensor([1.0, 2.0, 3.0, 4.0])}
Act = Callable[[Connection, int], None]


def honest(pipe: Connection, number: int) -> None:
    say(pipe, round=number, fields=[WEIGHTS])
    pipe.send_bytes(pack({"w": MODEL["w"] + 0.01 * (number + 1)}))


def say(pipe: Connection, **header: object) -> None:
    pipe.send_bytes(json.dumps(header).encode())


def silent_after_its_header(pipe: Connection, number: int) -> None:
    say(pipe, round=number, fields=[WEIGHTS])
    time.sleep(60)


def half_a_message(pipe: Connection, number: int) -> None:
    say(pipe, round=number, fields=[WEIGHTS])
    os.write(pipe.fileno(), struct.pack("!i", 16) + b"only")
    time.sleep(60)


def header(content: bytes) -> Act:
    return lambda pipe, number: pipe.send_bytes(content)


def weights(content: bytes, **changes: object) -> Act:
    def act(pipe: Connection, number: int) -> None:
        say(pipe, **{"round": number, "fields": [WEIGHTS], **changes})
        pipe.send_bytes(content)

    return act


def replayed(pipe: Connection, number: int) -> None:
    """The answer of the first round again."""
    honest(pipe, 0)


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Act], Server]:
    """Two rounds of three clients, of which one acts as it likes."""
    monkeypatch.setattr(simulated, "is_portable", lambda: True)  # forked from this process, with what is patched

    def run(act: Act) -> Server:
        def serve(pipe: Connection, foreign: list[Connection], spec: str) -> None:
            for end in foreign:
                end.close()
            own = act if json.loads(spec)["client"] == "mid" else honest
            say(pipe, rounds=[])
            while (order := json.loads(pipe.recv_bytes()))["do"] != "stop":
                for _ in order.get("fields", ()):
                    pipe.recv_bytes()
                if order["do"] == "round":
                    own(pipe, order["round"])
                else:
                    say(pipe, round=order["round"], fields=[])

        monkeypatch.setattr(simulated, "serve", serve)
        rounds = Rounds(CLIENTS, 2, 3, 1, deadline=2, key="federation", advice="lower 'x'")
        server = Server(rounds, MODEL, Allowlist.of(CLIENTS, weights=MODEL), 0)
        specs = [ClientSpec(name, "fedfactory.errors", {}, 0, "x", str(tmp_path / name), "cpu") for name in CLIENTS]
        simulated.train(server, specs, "x", tmp_path / "work", 2, Progress("test"))
        return server

    return run


def test_honest_clients_train(train):
    server = train(honest)
    torch.testing.assert_close(server.weights["w"], MODEL["w"] + 0.02)
    assert [(number, [*found]) for number, found in server.state_dict()["updates"]] == [(n, [*CLIENTS]) for n in (0, 1)]


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (silent_after_its_header, r"did not answer within 2 s \('federation.deadline'\)"),
        (half_a_message, r"did not answer within 2 s \('federation.deadline'\)"),
        (header(b"{"), "sent no announcement of an answer"),
        (header(b"[]"), "sent no announcement of an answer"),
        (header(b"\xff\xfe"), "sent no announcement of an answer"),
        (header(b'{"round": 0}'), "sent no announcement of an answer"),
        (header(b'{"round": 0, "fields": [3]}'), "sent no announcement of an answer"),
        (header(b"[" * 60000), "sent no announcement of an answer"),
        (header(b'{"round": 0, "fields": ["images"]}'), "sent no answer of round 0 with weights"),
        (header(b'{"round": 0, "fields": ["weights", "weights"]}'), "sent no answer of round 0 with weights"),
        (header(b'{"round": 0, "fields": []}'), "sent no answer of round 0 with weights"),
        (header(b" " * 100000), "sent a message of more than 65536 bytes"),
        (weights(b"x" * 17), "sent a message of more than 16 bytes"),
        (weights(b"x" * 15), "sent a message of 15 bytes instead of 16"),
        (weights(pack({"w": MODEL["w"] * 1e6})), "moved the model by .* more than 10 times as far as the others"),
        (weights(pack({"w": MODEL["w"] * float("nan")})), "sent weights that are not finite after round 0"),
        (replayed, "sent no answer of round 1 with weights"),
    ],
)
@pytest.mark.attack(
    "oversized, malformed, half or late messages, answers of another round",
    "refused before it is read; the client is named",
)
def test_what_does_not_fit_is_refused(train, act, message):
    started = time.monotonic()
    with pytest.raises(FedFactoryError, match=f"^client mid {message}"):
        train(act)
    assert time.monotonic() - started < 20


@pytest.mark.attack("a failure told in words of the client's own", "refused")
def test_a_failure_is_told_in_the_fixed_words_or_not_at_all(train):
    with pytest.raises(FedFactoryError, match="client mid sent a failure told in other words") as told:
        train(header(b'{"failure": "patient 7 has no image"}'))
    assert "patient" not in str(told.value)
