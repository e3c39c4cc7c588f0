"""FedDG and FedMed-GAN through the engine: what crosses, and the same bytes however they run."""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from fedfactory.config.parameters import read
from fedfactory.data.store import ClientView
from fedfactory.errors import FedFactoryError
from fedfactory.evaluation.dice import mean_foreground_dice
from fedfactory.federation.aggregation import uniform_mean
from fedfactory.federation.client import TRAIN
from fedfactory.federation.ledger import IN, OUT, read_ledger
from fedfactory.federation.message import WEIGHTS
from fedfactory.methods.fedavg.client import AveragedClient, TaughtClient, open_client, squared_distance
from fedfactory.methods.fedavg.parameters import FedAvgParameters
from fedfactory.methods.fedavg.training import train_fedavg
from fedfactory.methods.feddg.parameters import FedDGParameters
from fedfactory.methods.feddg.training import train_feddg
from fedfactory.methods.federated.cell import FederatedCell
from fedfactory.methods.federated.network import normalisation_of
from fedfactory.methods.federated.segmentation import ClientSlices, initial_network, read_segmenter
from fedfactory.methods.fedmedgan.training import TranslatingSegmenter, read_generator, train_fedmedgan
from fedfactory.orchestration.labels import SOURCE
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.state_dicts import read_state_dict
from tests.adaptation.conftest import write_discs
from tests.conftest import KillAt, Killed

pytestmark = pytest.mark.slow

FEDAVG = {
    "image_size": 32, "features": [4, 8], "convolutions": 2, "rounds": 3, "local_steps": 2, "batch": 2, "copies": 1,
    "learning_rate": 0.01, "betas": [0.9, 0.999], "clip": 10.0, "checkpoint_every": 1, "deadline": 120,
}  # fmt: skip
FEDDG = {
    **FEDAVG, "inner_learning_rate": 0.01, "gradient_order": "first", "window": 0.05, "bank": 6, "contrast": 0.1,
}  # fmt: skip
FEDMEDGAN = {
    "base": "nnunet", "width": 4, "downsamplings": 1, "blocks": 1, "layers": 2, "rounds": 3, "local_steps": 2,
    "batch": 2, "learning_rate": 0.01, "cycle": 10.0, "identity": 10.0, "clip": 1.0, "noise": 0.5,
    "checkpoint_every": 1, "deadline": 120,
}  # fmt: skip
TAUGHT = {"learning_rate": 0.001, "teacher": 0.9, "jitter": 0.3, "ramp": 0.5}
TRAININGS = {
    "fedprox": (
        {**FEDAVG, "proximal": 0.1},
        ("first", "second", "third"),
        lambda cell, *rest: train_fedavg(cell, 1, *rest),
    ),
    "fedsemi": (
        {**FEDAVG, "unlabelled": TAUGHT},
        ("first", "second", "third"),
        lambda cell, *rest: train_fedavg(cell, 1, *rest),
    ),
    "fedbn": (
        {**FEDAVG, "own_normalisation": True},
        ("first", "second", "third"),
        lambda cell, *rest: train_fedavg(cell, 1, *rest),
    ),
    "fedavg": (FEDAVG, ("first", "second", "third"), lambda cell, *rest: train_fedavg(cell, 1, *rest)),
    "feddg": (FEDDG, ("first", "second", "third"), lambda cell, *rest: train_feddg(cell, 1, *rest)),
    "fedmedgan": (FEDMEDGAN, ("first", "second"), lambda cell, *rest: train_fedmedgan(cell, 32, *rest)),
}


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    return {name: str(write_discs(folder / name, seed)) for seed, name in enumerate(("first", "second", "third"))}


def run(stores, folder, kind="feddg", workers=2, progress=None, device="cpu", turned=False, **changes):
    parameters, clients, train = TRAININGS[kind]
    parameters = dict(reversed(parameters.items())) if turned else parameters
    cell = FederatedCell(
        key=f"methods.{kind}.parameters", parameters=parameters | changes, seed=3, device=device,
        stores={name: stores[name] for name in clients if name in stores}, identity="test", work=folder / "work",
        workers=workers, logs=folder / "logs",
    )  # fmt: skip
    train(cell, folder / "model", progress or Progress("test"))
    return folder / "model"


def content(model):
    return {path.relative_to(model): path.read_bytes() for path in model.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", TRAININGS)
def test_the_same_bytes_with_one_worker_and_after_a_kill(stores, tmp_path, kind):
    whole = content(run(stores, tmp_path / "two", kind))
    # The order of keys in a configuration file is nobody's business either.
    assert content(run(stores, tmp_path / "one", kind, workers=1, turned=True)) == whole
    with pytest.raises(Killed):
        run(stores, tmp_path / "killed", kind, progress=KillAt(2))
    assert not (tmp_path / "killed/model").exists()
    assert content(run(stores, tmp_path / "killed", kind)) == whole
    assert not (tmp_path / "killed/work").exists()


@pytest.mark.fedbiomed
@pytest.mark.parametrize("kind", ["feddg", "fedmedgan"])
def test_the_same_bytes_on_nodes_of_fed_biomed_and_after_a_kill(stores, tmp_path, kind):
    """Weights, losses, ledgers: all that the simulated engine writes, but for the engine's name in the card."""
    pytest.importorskip("fedbiomed")
    whole = content(run(stores, tmp_path / "simulated", kind, rounds=2))
    if kind == "fedmedgan":
        with pytest.raises(Killed):
            run(stores, tmp_path / "nodes", kind, progress=KillAt(1), engine="fedbiomed", rounds=2)
    found = content(run(stores, tmp_path / "nodes", kind, engine="fedbiomed", rounds=2))
    card = json.loads(found.pop(Path("card.json")))
    assert card["parameters"].pop("engine") == "fedbiomed"
    assert card == json.loads(whole.pop(Path("card.json")))
    assert found == whole


def test_shares_of_the_bank_cross_and_stand_in_the_ledger(stores, tmp_path):
    model = run(stores, tmp_path)
    for client in stores:
        rows = read_ledger(model / "sites" / client / "ledger.csv")
        fields = {(row["direction"], row["field"]) for row in rows}
        assert {(OUT, "amplitudes"), (IN, "others"), (IN, "weights"), (OUT, "weights")} <= fields
        assert not {field for _, field in fields} - {"client", "amplitudes", "others", "weights"}
    card = json.loads((model / "card.json").read_text())
    assert card["clients"] == list(stores)
    images = ClientView(Path(stores["first"]), SOURCE).labelled_volumes("validation")[0].images
    segment = read_segmenter(model, FedDGParameters, "feddg_train", "cpu")
    labels = segment(images)
    assert labels.shape == images.shape and labels.dtype == np.uint8
    np.testing.assert_array_equal(segment(images[1:2])[0], labels[1])


def test_weights_alone_cross_in_federated_averaging_and_it_learns(stores, tmp_path):
    model = run(stores, tmp_path, "fedavg", rounds=30, local_steps=4, learning_rate=0.02)
    for client in stores:
        rows = read_ledger(model / "sites" / client / "ledger.csv")
        assert {(row["direction"], row["field"]) for row in rows} == {
            (OUT, "client"),
            (IN, "weights"),
            (OUT, "weights"),
        }
    volume = ClientView(Path(stores["first"]), SOURCE).labelled_volumes("validation")[0]
    labels = read_segmenter(model, FedAvgParameters, "fedavg_train", "cpu")(volume.images)
    assert mean_foreground_dice(labels, volume.labels, 1) > 0.8
    with pytest.raises(FedFactoryError, match="holds no model of this row .*; make it with the rule fedavg_train"):
        read_segmenter(tmp_path, FedAvgParameters, "fedavg_train", "cpu")


def test_a_proximal_term_pulls_back_to_where_a_round_began():
    """mu / 2 times the squared distance; and a client with a strong one hardly moves."""
    network, began = torch.nn.Linear(2, 1), {"weight": torch.tensor([[1.0, 2.0]]), "bias": torch.tensor([0.5])}
    network.load_state_dict({"weight": torch.tensor([[3.0, 1.0]]), "bias": torch.tensor([0.0])})
    assert squared_distance(network, began).item() == pytest.approx(4 + 1 + 0.25)
    moved = {}
    for proximal in (0.0, 1.0, 100.0):
        client = client_of("first", proximal=proximal, local_steps=8, learning_rate=0.001)
        start = {name: value.clone() for name, value in client.network.state_dict().items()}
        answer, _ = client.answer(0, TRAIN, {WEIGHTS: start})
        moved[proximal] = sum(float(((value - start[name]) ** 2).sum()) for name, value in answer[WEIGHTS].items())
    assert moved[0.0] > moved[1.0] > moved[100.0]


def client_of(name: str, labels: bool = True, **changes: object) -> AveragedClient:
    """A client of two, the first of which has labels, on eight random slices."""
    p = read(FedAvgParameters, {**FEDAVG, **changes}, "x")
    stream, size = np.random.default_rng(0), p.image_size
    images = stream.uniform(-1, 1, (8, size, size)).astype(np.float32)
    masks = (images > 0.3).astype(np.uint8)
    torch.manual_seed(0)
    if labels:
        return AveragedClient(name, ("first", "second"), ClientSlices(images, masks), 1, p, 0, "cpu")
    return TaughtClient(name, ("first", "second"), ClientSlices(images, masks[:0]), 1, p, 0, "cpu")


def test_a_client_without_labels_agrees_with_the_average_of_its_weights():
    """Without jitter and before it moves there is nothing to learn; the teacher follows by its decay."""
    taught = {"learning_rate": 0.01, "teacher": 0.75, "jitter": 0.0, "ramp": 0.0}
    client = client_of("second", labels=False, unlabelled=taught, local_steps=1)
    start = {name: value.clone() for name, value in client.network.state_dict().items()}
    _, losses = client.answer(0, TRAIN, {WEIGHTS: start})
    assert losses == {"consistency": pytest.approx(0, abs=1e-12)}
    other = {name: value + 1 for name, value in start.items()}
    _, losses = client.answer(1, TRAIN, {WEIGHTS: other})
    assert losses["consistency"] > 1e-4
    teacher = client.state_dict()["teacher"]
    for name, value in start.items():
        torch.testing.assert_close(teacher[name], 0.75 * value + 0.25 * (value + 1))


def test_only_the_labels_of_the_source_are_opened_where_targets_have_a_teacher(stores, tmp_path):
    hidden = dict(stores)
    for name in ("second", "third"):
        hidden[name] = str(shutil.copytree(stores[name], tmp_path / name))
        np.save(tmp_path / name / "labels.npy", np.zeros_like(np.load(tmp_path / name / "labels.npy")))
    assert content(run(stores, tmp_path / "all", "fedsemi")) == content(run(hidden, tmp_path / "none", "fedsemi"))
    model = run(stores, tmp_path / "again", "fedsemi", rounds=60, local_steps=4, learning_rate=0.02)
    volume = ClientView(Path(stores["second"]), SOURCE).labelled_volumes("validation")[0]
    labels = read_segmenter(model, FedAvgParameters, "fedavg_train", "cpu")(volume.images)
    assert mean_foreground_dice(labels, volume.labels, 1) > 0.6
    rows = read_ledger(model / "sites/second/ledger.csv")
    assert {row["field"] for row in rows} == {"client", "weights"}, "the teacher stays"


def test_scale_and_shift_of_the_normalisation_stay_at_their_client(stores, tmp_path):
    """FedBN, written out: what is shared is averaged, what is not goes on at its client, and predicts its cells."""
    model = run(stores, tmp_path, "fedbn")
    p = read(FedAvgParameters, FEDAVG, "x")
    clients = [open_client(name, {"data": stores[name], "clients": [*stores], "parameters": FEDAVG}, 3, "cpu")
               for name in stores]  # fmt: skip
    whole = initial_network(p, 1, 3).state_dict()
    own = {name for name in whole if name.split(".")[-2] in ("1", "4")}  # convolution, normalisation, activation
    assert own == normalisation_of(clients[0].network) and 0 < len(own) < len(whole)
    held = [{name: whole[name] for name in own} for _ in clients]
    for number in range(p.rounds):
        answers = [client.answer(number, TRAIN, {WEIGHTS: whole | kept})[0][WEIGHTS]
                   for client, kept in zip(clients, held, strict=True)]  # fmt: skip
        answers = [{name: value.clone() for name, value in answer.items()} for answer in answers]
        whole, held = uniform_mean(answers), [{name: answer[name] for name in own} for answer in answers]
    crossed = read_state_dict(model / "weights.pt", "cpu")
    assert crossed.keys() == whole.keys() - own
    assert all(torch.equal(crossed[name], whole[name]) for name in crossed)
    for client, kept in zip(stores, held, strict=True):
        found = read_segmenter(model, FedAvgParameters, "fedavg_train", "cpu", client).network.state_dict()
        assert all(torch.equal(found[name], (whole | kept)[name]) for name in found)
        forms = json.loads((model / "sites" / client / "forms.json").read_text())
        assert not own & {form["name"] for form in forms["weights"]}, "it never crosses"
    assert any(not torch.equal(held[0][name], held[1][name]) for name in own)
    with pytest.raises(FedFactoryError, match=r"weights.pt lacks "):
        read_segmenter(model, FedAvgParameters, "fedavg_train", "cpu")


def test_translated_images_and_gradients_cross_and_stand_in_the_ledger(stores, tmp_path):
    model = run(stores, tmp_path, "fedmedgan")
    for client in ("first", "second"):
        rows = read_ledger(model / "sites" / client / "ledger.csv")
        crossed = Counter((row["direction"], row["field"]) for row in rows)
        assert crossed == {
            (OUT, "client"): 1, (IN, "weights"): 3, (OUT, "weights"): 3,
            **{(way, field): 6 for way in (IN, OUT) for field in ("translated", "gradient")},
        }  # fmt: skip
    images = ClientView(Path(stores["second"]), SOURCE).labelled_volumes("validation")[0].images
    segment = TranslatingSegmenter(read_generator(model, "cpu"), lambda slices: (slices > 0).astype(np.uint8), "cpu")
    np.testing.assert_array_equal(segment(images[1:2])[0], segment(images)[1])


def test_a_network_may_read_smaller_images(stores, tmp_path):
    """Shares of the bank, training and inference at half the size; masks at the size of the store."""
    model = run(stores, tmp_path, image_size=16, window=0.1, rounds=1)
    forms = json.loads((model / "sites/first/forms.json").read_text())
    assert forms["amplitudes"][0]["shape"] == [6, 3, 3], "a tenth of 16 pixels, not of 32"
    images = ClientView(Path(stores["first"]), SOURCE).labelled_volumes("validation")[0].images
    segment = read_segmenter(model, FedDGParameters, "feddg_train", "cpu")
    assert segment.size == 16 and segment(images).shape == images.shape


def test_what_cannot_train_is_told(stores, tmp_path):
    with pytest.raises(FedFactoryError, match="needs two labelled clients beside the target"):
        run({"first": stores["first"]}, tmp_path)
    with pytest.raises(FedFactoryError, match="frequencies wide at 32 pixels"):
        run(stores, tmp_path, window=0.01)
    assert not (tmp_path / "model").exists()
    (tmp_path / "bad").mkdir()
    torch.save({"a": torch.zeros(1)}, tmp_path / "bad/weights.pt")
    with pytest.raises(FedFactoryError, match="holds no model of this row"):
        read_segmenter(tmp_path / "bad", FedDGParameters, "feddg_train", "cpu")
