"""Who trains in a round, and how the answers become one model."""

import numpy as np
import pytest
import torch

from fedfactory.errors import FedFactoryError
from fedfactory.factory.server import FactoryServer, initial_weights, snapshot_rounds
from fedfactory.federation.aggregation import uniform_mean
from fedfactory.federation.sampling import sample_clients
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


def test_averaged_generator_follows_by_its_decay_for_each_turn_of_the_generator(tmp_path):
    parameters = small_parameters(local_steps=3)
    server = FactoryServer(parameters, 0, tmp_path)
    before = {name: value.clone() for name, value in server.ema.items()}
    moved = {name: value + 1 for name, value in server.weights.items()}
    server.accept({0: moved, 2: moved})
    for name, value in server.ema.items():
        torch.testing.assert_close(value, before[name] + (1 - 0.9**3), atol=1e-5, rtol=1e-6)
    assert not any(name.startswith("discriminator") for name in server.ema)


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
