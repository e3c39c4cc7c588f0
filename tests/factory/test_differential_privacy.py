"""Differential privacy of a client's subjects in the training of the factory."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from opacus.accountants.analysis import rdp

from fedfactory.config.sentences import Misfit
from fedfactory.errors import FedFactoryError
from fedfactory.factory.differential_privacy import PrivateRound, by_subject, noise_multiplier, spent, steps_of
from fedfactory.factory.images import placed
from fedfactory.factory.parameters import FactoryParameters, PrivacyParameters
from fedfactory.federation.sampling import sample_clients
from tests.factory.test_local import equal, site, trained
from tests.federation.conftest import small_parameters

P = PrivacyParameters(
    epsilon=3.0, delta=0.05, clip=0.5, least_subjects=10, subjects=2, slices=2, noise="seeded"
)  # fmt: skip


def private(p: PrivacyParameters | None = P, **federation) -> FactoryParameters:
    parameters = small_parameters(**federation)
    training = replace(parameters.training, privacy=p, augment_target=0.0, path_length_every=0)
    return replace(parameters, network=replace(parameters.network, weighting="label"), training=training)


def round_of(noise: float = 0.0, p: PrivacyParameters = P, seed: int = 0) -> PrivateRound:
    return PrivateRound(p, noise, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("epsilon", [0.5, 3.0, 20.0])
def test_the_noise_spends_what_is_asked_for_by_the_accountants_own_sum(epsilon):
    """Epsilon written out from the Renyi divergences of the sampled Gaussian mechanism."""
    p, steps = replace(P, epsilon=epsilon), 300
    noise, orders = noise_multiplier(p, steps), [1 + x / 10 for x in range(1, 100)] + list(range(12, 64))
    divergence = rdp.compute_rdp(q=p.sample_rate, noise_multiplier=noise, steps=steps, orders=orders)
    found, _ = rdp.get_privacy_spent(orders=orders, rdp=divergence, delta=p.delta)
    assert found <= epsilon and found == pytest.approx(epsilon, abs=0.02)


def test_steps_are_those_of_the_rounds_in_which_a_client_is_drawn():
    parameters = private(rounds=7, local_steps=3)
    drawn = [k for number in range(7) for k in sample_clients(5, number, 3, 2)]
    assert steps_of(parameters.federation, 3, 5) == tuple(3 * drawn.count(k) for k in range(3))
    rows = {row.client: row for row in spent(parameters, 5)}
    most = max(rows.values(), key=lambda row: row.steps)
    assert most.epsilon == pytest.approx(P.epsilon, abs=0.02)
    assert all(row.epsilon <= most.epsilon for row in rows.values())
    assert spent(replace(parameters, training=replace(parameters.training, privacy=None)), 5) == []


def test_a_subject_adds_no_more_than_the_clipping_norm():
    weights = [torch.nn.Parameter(torch.zeros(3)), torch.nn.Parameter(torch.zeros(2, 2))]
    stream = torch.Generator().manual_seed(1)
    subjects = [[scale * torch.randn(w.shape, generator=stream) for w in weights] for scale in (0.01, 1, 1000)]
    for own in subjects:
        found = round_of().gradient(weights, [own])
        norm = torch.cat([part.flatten() for part in own]).norm()
        for part, whole in zip(found, own, strict=True):
            torch.testing.assert_close(part, whole * min(1.0, P.clip / norm) / P.subjects, rtol=1e-4, atol=1e-7)
    everyone, without = (torch.cat([g.flatten() for g in round_of(2.0).gradient(weights, who)])
                         for who in (subjects, subjects[:2]))  # fmt: skip
    assert float((everyone - without).norm()) <= P.clip / P.subjects * 1.0001, "whoever the third subject is"
    assert all(w.grad is None and not hasattr(w, "grad_sample") for w in weights)


def test_noise_has_the_size_that_the_accountant_counts_with_whoever_takes_part():
    weights = [torch.nn.Parameter(torch.zeros(20000))]
    for who in ([], [[torch.zeros(20000)]]):
        (found,) = round_of(1.7).gradient(weights, who)
        assert float(found.std()) == pytest.approx(1.7 * P.clip / P.subjects, rel=0.03)
        assert abs(float(found.mean())) < 0.01


def test_every_subject_takes_part_by_chance_of_its_own():
    subjects, own = [torch.arange(3) + 3 * n for n in range(10)], round_of()
    draws = [own.drawn(subjects) for _ in range(400)]
    counts = np.array([len(draw) for draw in draws])
    assert counts.mean() == pytest.approx(2, abs=0.2) and counts.var() == pytest.approx(10 * 0.2 * 0.8, abs=0.4)
    assert counts.min() == 0, "also nobody"
    assert all(len(places) == P.slices and len({int(p) // 3 for p in places}) == 1 for d in draws for places in d)


@pytest.mark.attack(
    "a way past the noise of differential privacy",
    "none: without a subject's gradient, images change nothing",
)
def test_images_reach_a_round_by_the_subjects_that_take_part_and_by_nothing_else(monkeypatch):
    """With nobody drawn, other images, positions and numbers of images give the same networks."""
    parameters = private(local_steps=3)
    other = replace(site(), images=-site().images[:4], positions=torch.full((4,), 4), key=torch.ones(512))
    subjects = (torch.arange(3), torch.arange(3, 6))
    with monkeypatch.context() as nobody:
        nobody.setattr(PrivateRound, "drawn", lambda self, subjects: [])
        assert equal(trained(parameters, site())[0], trained(parameters, other)[0])
    everybody = lambda self, subjects: list(subjects)  # noqa: E731
    monkeypatch.setattr(PrivateRound, "drawn", everybody)
    first = trained(parameters, replace(site(), subjects=subjects))[0]
    assert not equal(first, trained(parameters, replace(site(), images=-site().images, subjects=subjects))[0])


def test_secret_noise_is_another_each_time_and_seeded_noise_the_same():
    secret = private(replace(P, noise="secret"))
    first, second = (PrivateRound.of(secret, 1, 0, 0).stream.initial_seed() for _ in range(2))
    assert first != second
    first, second, later = (PrivateRound.of(private(), 1, 0, n).stream.initial_seed() for n in (0, 0, 1))
    assert first == second != later


def test_a_client_of_few_subjects_takes_no_part():
    numbers = np.repeat(np.arange(9), 2)
    with pytest.raises(FedFactoryError, match="9 subjects train here, and .* is 10"):
        by_subject(numbers, private())
    assert [places.tolist() for places in by_subject(np.repeat(np.arange(10), 2), private())][:2] == [[0, 1], [2, 3]]
    assert by_subject(numbers, private(None)) == ()


def test_what_would_tell_of_images_otherwise_is_refused():
    parameters = private()
    with pytest.raises(Misfit, match="a key is a mean over images"):
        replace(parameters, network=replace(parameters.network, weighting="mean"))
    with pytest.raises(Misfit, match="a key is a mean over images"):
        replace(parameters, federation=replace(parameters.federation, refinement_rounds=1))
    with pytest.raises(Misfit, match="augmentation would follow"):
        replace(parameters.training, augment_target=0.6)
    with pytest.raises(Misfit, match="the server knows the seed"):
        replace(parameters, federation=replace(parameters.federation, engine="fedbiomed", mode="remote"))
    with pytest.raises(Misfit, match="below 1 in"):
        replace(P, delta=0.1)
    with pytest.raises(Misfit, match="fewer than"):
        replace(P, subjects=10)
    assert "privacy" not in private(None).as_json()["training"], "what is not used leaves no trace"
    assert FactoryParameters.from_json(parameters.as_json()) == parameters


def test_no_subject_moves_the_positions_of_others():
    """Without gaps they depend on who else is there."""
    positions = np.array([0, 2, 4, 0, 2, 4])
    assert placed(positions, private()).tolist() == positions.tolist()
    filled = placed(positions, private(None))
    assert (
        filled.tolist() != positions.tolist() and filled[:3].tolist() == placed(positions[:3], private(None)).tolist()
    )
    assert placed(positions[3:], private(None)).tolist() != filled[3:].tolist(), "which is why"
