"""FedDG through the engine: what crosses, and the same bytes however it runs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fedfactory.baselines.feddg.training import read_segmenter, train_feddg
from fedfactory.data.store import ClientView
from fedfactory.errors import FedFactoryError
from fedfactory.federation.cell import FederatedCell
from fedfactory.federation.ledger import IN, OUT, read_ledger
from fedfactory.progress import Progress
from tests.adaptation.conftest import write_discs

pytestmark = pytest.mark.slow

PARAMETERS = {
    "image_size": 32, "features": [4, 8], "rounds": 3, "local_steps": 2, "batch": 2, "copies": 1, "learning_rate": 0.01,
    "inner_learning_rate": 0.01, "gradient_order": "first", "window": 0.05, "bank": 6, "contrast": 0.1, "clip": 10.0,
    "checkpoint_every": 1, "deadline": 120,
}  # fmt: skip


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    return {name: str(write_discs(folder / name, seed)) for seed, name in enumerate(("first", "second", "third"))}


def run(stores, folder, workers=2, progress=None, **changes):
    cell = FederatedCell(
        kind="feddg", key="methods.feddg.parameters", parameters=PARAMETERS | changes, stores=stores, size=32, seed=3,
        device="cpu", identity="test", work=folder / "work", workers=workers,
    )  # fmt: skip
    train_feddg(cell, 1, folder / "model", progress or Progress("test"))
    return folder / "model"


class Killed(Exception):
    pass


class KillAfter(Progress):
    def __init__(self, rounds):
        super().__init__("killed")
        self._rounds = rounds

    def update(self, done, total, message=""):
        if done == self._rounds:
            raise Killed


def content(model):
    return {path.relative_to(model): path.read_bytes() for path in model.rglob("*") if path.is_file()}


def test_the_same_bytes_with_one_worker_and_after_a_kill(stores, tmp_path):
    whole = content(run(stores, tmp_path / "two"))
    assert content(run(stores, tmp_path / "one", workers=1)) == whole
    with pytest.raises(Killed):
        run(stores, tmp_path / "killed", progress=KillAfter(2))
    assert not (tmp_path / "killed/model").exists()
    assert content(run(stores, tmp_path / "killed")) == whole
    assert not (tmp_path / "killed/work").exists()


def test_shares_of_the_bank_cross_and_stand_in_the_ledger(stores, tmp_path):
    model = run(stores, tmp_path)
    for client in stores:
        rows = read_ledger(model / "sites" / client / "ledger.csv")
        fields = {(row["direction"], row["field"]) for row in rows}
        assert {(OUT, "amplitudes"), (IN, "others"), (IN, "weights"), (OUT, "weights")} <= fields
        assert not {field for _, field in fields} - {"client", "amplitudes", "others", "weights"}
    card = json.loads((model / "card.json").read_text())
    assert card["clients"] == list(stores)
    images = ClientView(Path(stores["first"])).labelled_volumes("validation")[0].images
    labels = read_segmenter(model, "cpu")(images)
    assert labels.shape == images.shape and labels.dtype == np.uint8
    np.testing.assert_array_equal(read_segmenter(model, "cpu")(images[1:2])[0], labels[1])


def test_what_cannot_train_is_told(stores, tmp_path):
    with pytest.raises(FedFactoryError, match="needs two labelled clients beside the target"):
        run({"first": stores["first"]}, tmp_path)
    with pytest.raises(FedFactoryError, match="frequencies wide at 32 pixels"):
        run(stores, tmp_path, window=0.01)
    assert not (tmp_path / "model").exists()
    (tmp_path / "bad").mkdir()
    torch.save({"a": torch.zeros(1)}, tmp_path / "bad/weights.pt")
    with pytest.raises(FedFactoryError, match="holds no model of FedDG"):
        read_segmenter(tmp_path / "bad", "cpu")
