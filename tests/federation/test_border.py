"""Nothing but weights, key and name crosses a site's border, and all of it is written down."""

import hashlib

import pytest
import torch

from fedfactory.errors import FedFactoryError
from fedfactory.federation.client import ClientSpec
from fedfactory.federation.ledger import IN, OUT, Ledger, read_ledger, record_failure, totals
from fedfactory.federation.message import FAILURE, Allowlist, pack, unpack

WEIGHTS = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.tensor([7], dtype=torch.int64)}
KEY = torch.ones(4)


@pytest.fixture
def allowlist() -> Allowlist:
    return Allowlist.of(("near", "far"), weights=WEIGHTS, key=KEY)


def test_weights_survive_the_wire(allowlist):
    data = pack(WEIGHTS)
    assert len(data) == 8 + 6 * 4
    back = unpack(data, allowlist.weights)
    assert all(torch.equal(back[name], WEIGHTS[name]) and back[name].dtype == WEIGHTS[name].dtype for name in WEIGHTS)
    with pytest.raises(FedFactoryError, match="31 bytes came in where 32 bytes are expected"):
        unpack(data[:-1], allowlist.weights)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"images": torch.zeros(2, 1, 32, 32)}, "'images'; only client, key, weights may"),
        ({"weights": {**WEIGHTS, "image": torch.zeros(32, 32)}}, "'weights.image', which is no part of 'weights'"),
        ({"weights": {**WEIGHTS, "b": torch.zeros(1, 1, 32, 32)}}, r"'weights.b' as float32 \(1, 1, 32, 32\)"),
        ({"weights": {**WEIGHTS, "b": torch.zeros(2, 3, dtype=torch.float64)}}, r"'weights.b' as float64"),
        ({"weights": {"a": WEIGHTS["a"]}}, "'weights' without 'b'"),
        ({"weights": {**WEIGHTS, "b": [1.0]}}, "'b', a list instead of an array"),
        ({"key": torch.zeros(32, 32)}, r"'key' as float32 \(32, 32\); it is float32 \(4,\)"),
        ({"client": "patient 7"}, "the client name 'patient 7'"),
        ({"losses": 0.1}, "'losses'"),
    ],
)
@pytest.mark.attack(
    "a client sends what is not on the list: other fields, shapes, names",
    "refused at its own border, and written nowhere",
)
def test_the_ledger_refuses_everything_else(allowlist, tmp_path, message, reason):
    ledger = Ledger(tmp_path, allowlist)
    with pytest.raises(FedFactoryError, match=f"a client's border refused {reason}"):
        ledger.record(0, "near", OUT, message)
    assert read_ledger(ledger.file) == [], "what is refused is not recorded either"


def test_rows_say_what_crossed(allowlist, tmp_path):
    ledger = Ledger(tmp_path, allowlist)
    ledger.record(-1, "near", OUT, {"client": "near", "key": KEY})
    ledger.record(0, "near", IN, {"weights": WEIGHTS})
    rows = read_ledger(ledger.file)
    assert [(row["round"], row["field"], row["bytes"]) for row in rows] == [
        ("-1", "client", "4"), ("-1", "key", "16"), ("0", "weights", "32"),
    ]  # fmt: skip
    ledger.record(0, "near", OUT, {"weights": WEIGHTS}, {"weights": pack(WEIGHTS)})
    assert read_ledger(ledger.file)[3]["sha256"] == rows[2]["sha256"], "packed by the caller or by the ledger"
    assert rows[2]["sha256"] == hashlib.sha256(pack(WEIGHTS)).hexdigest()
    assert totals([*rows, rows[2]])[2] == {
        "client": "near", "direction": IN, "field": "weights", "messages": 2, "bytes": 64,
    }  # fmt: skip


def test_a_resumed_ledger_drops_what_will_be_written_again(allowlist, tmp_path):
    ledger = Ledger(tmp_path, allowlist)
    for number in range(4):
        ledger.record(number, "near", IN, {"weights": WEIGHTS})
    with ledger.file.open("a") as file:
        file.write("4,near,out of the si")
    rows = read_ledger(Ledger(tmp_path, allowlist, until_round=2).file)
    assert [row["round"] for row in rows] == ["0", "1"]


@pytest.mark.attack("a secret in the text of an exception", "a fixed sentence crosses; the text stays at the client")
def test_of_an_error_only_a_fixed_sentence_crosses(allowlist, tmp_path):
    sentence = record_failure(tmp_path, "near", FedFactoryError("patient 7 has no image"), 4)
    assert sentence == "its part failed (FedFactoryError); the client's own log says more"
    (row,) = read_ledger(tmp_path / "ledger.csv")
    assert (row["round"], row["direction"], row["field"]) == ("4", OUT, FAILURE)
    assert row["sha256"] == hashlib.sha256(sentence.encode()).hexdigest()
    allowlist.check({FAILURE: sentence})
    with pytest.raises(FedFactoryError, match="refused a failure told in other words"):
        allowlist.check({FAILURE: "patient 7 has no image"})
    # A training that goes on writes that round again; one that failed before a round counts with the next.
    Ledger(tmp_path, allowlist, until_round=4)
    assert read_ledger(tmp_path / "ledger.csv") == []
    record_failure(tmp_path, "near", ValueError("secret"))
    assert read_ledger(tmp_path / "ledger.csv")[0]["round"] == "0"


@pytest.mark.attack("a server that names a module of its own to a client", "refused")
def test_a_client_is_opened_by_this_package_alone(tmp_path):
    with pytest.raises(ValueError, match="'os' is none of the package fedfactory"):
        ClientSpec("near", "os", {}, 0, "x", str(tmp_path), "cpu")
