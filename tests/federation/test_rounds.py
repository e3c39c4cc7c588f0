"""Who trains in a round, and how the answers become one model."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from fedfactory.config.parameters import read
from fedfactory.errors import FedFactoryError
from fedfactory.factory.parameters import FederationParameters
from fedfactory.factory.server import FactoryServer, initial_weights, snapshot_rounds
from fedfactory.federation.aggregation import median, trimmed_mean, uniform_mean
from fedfactory.federation.message import Allowlist
from fedfactory.federation.sampling import sample_clients
from fedfactory.federation.server import Rounds, Server
from fedfactory.federation.updates import beside_each_other, far_off, norm_of, read_updates, updates
from tests.federation.conftest import small_parameters


def test_sampling_is_uniform_without_replacement_and_seeded():
    drawn = [sample_clients(3, r, 4, 2) for r in range(4000)]
    assert all(a < b for a, b in drawn)
    pairs, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(pairs) == 6
    # Six pairs of 667 each; five standard deviations of a binomial count.
    assert np.abs(counts - 4000 / 6).max() < 5 * np.sqrt(4000 * 1 / 6 * 5 / 6)
    assert drawn[:50] == [sample_clients(3, r, 4, 2) for r in range(50)]
    assert drawn[:50] != [sample_clients(4, r, 4, 2) for r in range(50)]


def test_mean_is_exact_and_ignores_how_often_a_client_counts():
    a, b, c = ({"w": torch.tensor([v], dtype=torch.float32)} for v in (1.0, 2.0, 2.0**-30))
    assert uniform_mean([a, b])["w"].item() == 1.5
    assert uniform_mean([a, b, c])["w"].item() == np.float32((1.0 + 2.0 + 2.0**-30) / 3)
    with pytest.raises(ValueError, match="no model"):
        uniform_mean([])
    with pytest.raises(ValueError, match="different parameters"):
        uniform_mean([a, {"v": a["w"]}])


@pytest.mark.attack(
    "any weights at all, where the aggregation is a median or a trimmed mean",
    "bounded by what the others send",
)
def test_no_client_moves_a_robust_mean_as_far_as_it_likes():
    models = [{"w": torch.tensor([v, -v])} for v in (1.0, 2.0, 6.0, 4.0)]
    assert median(models)["w"].tolist() == [3.0, -3.0]
    assert trimmed_mean(models)["w"].tolist() == [3.0, -3.0]
    assert median(models[:3])["w"].tolist() == trimmed_mean(models[:3])["w"].tolist() == [2.0, -2.0]
    models[2]["w"] *= 1e6
    assert median(models)["w"].tolist() == trimmed_mean(models)["w"].tolist() == [3.0, -3.0]
    assert uniform_mean(models)["w"][0] > 1e6
    with pytest.raises(FedFactoryError, match="aggregation': 'median' needs at least 3 of 'clients_per_round'"):
        read(FederationParameters, {**asdict(small_parameters().federation), "aggregation": "median"}, "federation")


def test_updates_are_what_vectors_say():
    """Norms and cosines of the flattened differences, by numpy."""
    stream = np.random.default_rng(0)
    before = {"a": torch.zeros(3, 2), "n": torch.tensor(4), "b": torch.ones(5)}
    moved = stream.normal(size=(3, 11))
    moved[2] = -moved[0] - moved[1] + 0.01
    models = [
        {"a": torch.tensor(v[:6]).reshape(3, 2), "n": torch.tensor(9), "b": torch.tensor(v[6:]) + 1} for v in moved
    ]
    names = ("near", "mid", "far")
    for index, found in enumerate(updates(dict(zip(names, models, strict=True)), before).values()):
        assert found.norm == pytest.approx(np.linalg.norm(moved[index]))
        directions = moved / np.linalg.norm(moved, axis=1, keepdims=True)
        expected = {names[k]: directions[index] @ directions[k] for k in range(3) if k != index}
        assert found.cosines == pytest.approx(expected)
    assert norm_of(before) == pytest.approx(np.sqrt(5))
    assert updates({"near": models[0]}, before)["near"].cosines == {}, "nobody to compare with"


@pytest.mark.parametrize("clients", [2, 3])
@pytest.mark.attack(
    "poisoned weights: times a million",
    "refused before it is averaged; the last checkpoint is from before",
)
def test_a_client_that_scales_its_weights_is_named_and_nothing_is_averaged(tmp_path, clients):
    server = FactoryServer(small_parameters(clients_per_round=clients), 0, tmp_path)
    before = {name: value.clone() for name, value in server.weights.items()}
    stream = torch.Generator().manual_seed(0)
    honest = [
        {name: value + 0.01 * torch.randn(value.shape, generator=stream) for name, value in before.items()}
        for _ in range(clients)
    ]
    scaled = {name: value * 1e6 for name, value in honest[-1].items()}
    with pytest.raises(FedFactoryError, match="client mid moved the model by .* in round 0, more than 10 times as far"):
        server.accept({0: honest[0], 1: scaled, **{index: honest[index - 1] for index in range(2, clients)}})
    assert server.round_number == 0 and all(torch.equal(before[name], server.weights[name]) for name in before)
    server.accept(dict(enumerate(honest)))
    state = server.state_dict()
    again = FactoryServer(small_parameters(clients_per_round=clients), 0, tmp_path)
    again.load_state_dict(state)
    again.write_updates(tmp_path)
    ((number, found),) = read_updates(tmp_path / "updates.csv")
    assert number == 0 and list(found) == ["near", "mid", "far"][:clients]
    for name, update in found.items():
        assert update.norm > 0 and update.cosines.keys() == found.keys() - {name}
        assert all(abs(cosine) < 0.2 for cosine in update.cosines.values()), "independent directions"


def test_clients_that_train_with_other_lengths_are_no_attackers():
    """One with labels moves the model a hundred times as far as two without; the model is not lost by that."""
    norms = {"near": 1.0, "mid": 0.01, "far": 0.01}
    assert far_off(norms, model=5.0) is None
    assert far_off({**norms, "near": 6.0}, model=5.0) == "near"
    assert far_off({"near": 6.0, "mid": 5.0}, model=5.0) is None


HONEST = "–"


@pytest.mark.parametrize("clients", [2, 3])
@pytest.mark.parametrize(
    ("misbehaves", "remark"),
    [
        (lambda own, sent, earlier: own, HONEST),
        (lambda own, sent, earlier: 2 * sent - own, "moves against the others"),
        (lambda own, sent, earlier: earlier[0], "moves against the others, sent a model more than once"),
        (lambda own, sent, earlier: earlier[-5:][0], "moves against the others, sent a model more than once"),
        (lambda own, sent, earlier: sent + 1e-3 * (own - sent), "hardly moves"),
    ],
    ids=["honest", "signs flipped", "its first model", "an old model", "next to nothing"],
)
@pytest.mark.attack(
    "poisoned weights: signs turned, an old model, one that hardly moves",
    "averaged, since a mean gives each client its share; told in updates.csv and in the report",
)
def test_a_client_that_sends_something_else_than_it_trained_is_noticed(tmp_path, misbehaves, remark, clients):
    """Four clients, some of them in a round, each of which moves the model towards a place of its own."""
    names, stream = ("near", "mid", "far", "off"), torch.Generator().manual_seed(0)
    places = [1 + 0.5 * torch.randn(50, generator=stream) for _ in names]
    start = {"w": torch.randn(50, generator=stream)}
    rounds = Rounds(names, 40, clients, 1, 1, "federation", "lower 'x'")
    server, earlier = Server(rounds, start, Allowlist.of(names, weights=start), 3), [start["w"]]
    while not server.finished:
        sent = server.weights["w"]
        noise = {index: 0.1 * torch.randn(50, generator=stream) for index in server.sampled()}
        answers = {index: sent + 0.02 * (places[index] - sent + noise[index]) for index in noise}
        if 3 in answers:
            earlier.append(answers[3])
            answers[3] = misbehaves(answers[3], sent, earlier)
        server.accept({index: {"w": answer} for index, answer in answers.items()})
    server.write_updates(tmp_path)
    found = {row["client"]: row["remark"] for row in beside_each_other(read_updates(tmp_path / "updates.csv"))}
    assert {name: found[name] for name in names[:3]} == dict.fromkeys(names[:3], HONEST)
    assert found["off"] == remark


def test_averaged_generator_follows_by_its_decay_for_each_turn_of_the_generator(tmp_path):
    parameters = small_parameters(local_steps=3)
    server = FactoryServer(parameters, 0, tmp_path)
    before = {name: value.clone() for name, value in server.ema.items()}
    moved = {name: value + 1 for name, value in server.weights.items()}
    server.accept({0: moved, 2: moved})
    for name, value in server.ema.items():
        torch.testing.assert_close(value, before[name] + (1 - 0.9**3), atol=1e-5, rtol=1e-6)
    assert not any(name.startswith("discriminator") for name in server.ema)


@pytest.mark.attack("weights that are not finite", "refused; the client is named")
def test_a_diverged_client_is_named_before_its_weights_are_averaged(tmp_path):
    server = FactoryServer(small_parameters(), 0, tmp_path)
    before = {name: value.clone() for name, value in server.weights.items()}
    broken = {name: value.clone() for name, value in server.weights.items()}
    broken["generator.constant"][0, 0, 0, 0] = float("nan")
    with pytest.raises(FedFactoryError, match="client far sent weights that are not finite after round 0"):
        server.accept({0: server.weights, 2: broken})
    assert server.round_number == 0 and all(torch.equal(before[name], server.weights[name]) for name in before)


def test_initial_weights_belong_to_the_seed_not_to_the_process():
    first = initial_weights(small_parameters(), 1)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    again, other = initial_weights(small_parameters(), 1), initial_weights(small_parameters(), 2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["generator.constant"], other["generator.constant"])
    assert torch.equal(state, torch.get_rng_state())


def test_snapshots_hold_the_untrained_and_the_last_generator():
    assert snapshot_rounds(small_parameters(rounds=9, refinement_rounds=1, snapshots=3)) == [0, 5, 10]
    assert snapshot_rounds(small_parameters(rounds=2, snapshots=12)) == [0, 1, 2]
