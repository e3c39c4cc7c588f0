"""Statistics against calculations of their own, and against what they promise on made-up data."""

import math
from itertools import product

import numpy as np
import pytest

from fedfactory.evaluation import statistics
from fedfactory.evaluation.statistics import compare_pairs, confidence_interval, rank


@pytest.fixture
def fewer_resamples(monkeypatch):
    monkeypatch.setattr(statistics, "_RESAMPLES", 999)


def test_interval_of_many_normal_values_is_the_textbooks():
    values = np.random.default_rng(0).normal(70, 8, 400)
    low, high = confidence_interval(values.tolist(), seed=1)
    half = 1.96 * values.std(ddof=1) / math.sqrt(400)
    assert low == pytest.approx(values.mean() - half, abs=0.1)
    assert high == pytest.approx(values.mean() + half, abs=0.1)
    assert confidence_interval(values.tolist(), seed=1) == (low, high), "same seed, same interval"


@pytest.mark.parametrize(
    "draw",
    [lambda rng: rng.normal(60, 10, 30), lambda rng: 100 * rng.beta(8, 2, 30)],
    ids=["normal", "skewed, as Dice is"],
)
def test_intervals_cover_the_truth_as_often_as_they_say(fewer_resamples, draw):
    truth = {0: 60.0, 1: 80.0}[int(draw(np.random.default_rng(0)).mean() > 70)]
    covered = 0
    for seed in range(400):
        low, high = confidence_interval(draw(np.random.default_rng(seed)).tolist(), 10_000 + seed)
        covered += low <= truth <= high
    # 95 %, less what thirty subjects cost (docs/statistics.md), and three standard errors of a share of 400.
    assert 0.89 < covered / 400 < 0.98


def test_interval_without_information():
    assert all(math.isnan(limit) for limit in confidence_interval([50.0, 60.0, math.nan], 0))
    assert confidence_interval([50.0, 50.0, math.nan, 50.0], 0) == (50.0, 50.0)


def test_p_is_that_of_all_sign_flips():
    rng = np.random.default_rng(3)
    first, second = rng.normal(62, 5, 8), rng.normal(58, 5, 8)
    differences = first - second
    ranks = np.argsort(np.argsort(np.abs(differences))) + 1
    observed = ranks[differences > 0].sum()
    centre = ranks.sum() / 2
    sums = [sum(rank for rank, keep in zip(ranks, signs, strict=True) if keep) for signs in product((0, 1), repeat=8)]
    expected = np.mean([abs(total - centre) >= abs(observed - centre) for total in sums])
    (found,) = compare_pairs({"a": first.tolist(), "b": second.tolist()})
    assert found.p == pytest.approx(expected)
    assert found.p_holm == found.p
    assert found.difference == pytest.approx(differences.mean())


@pytest.mark.parametrize("subjects", [6, 9])
def test_p_of_ties_is_that_of_all_sign_flips(subjects):
    """Whole differences repeat, and some are none: those say nothing, and equal ones share their ranks."""
    rng = np.random.default_rng(subjects)
    differences = np.array([0, 0, *rng.integers(1, 4, subjects) * rng.choice([-1, 1, 1], subjects)])
    known = differences[differences != 0]
    ranks = np.array([np.mean(np.flatnonzero(np.sort(np.abs(known)) == abs(value)) + 1) for value in known])
    sums = np.array([ranks @ signs for signs in product((0, 1), repeat=subjects)])
    observed = ranks[known > 0].sum()
    expected = min(1.0, 2 * min((sums <= observed).mean(), (sums >= observed).mean()))
    (found,) = compare_pairs({"a": differences.tolist(), "b": [0.0] * len(differences)})
    assert found.p == pytest.approx(expected) and found.p < 1
    assert found.rank_sum == (ranks * np.sign(known)).sum()


def test_holm_by_hand(monkeypatch):
    import scipy.stats

    answers = iter([0.01, 0.04, 0.03])
    monkeypatch.setattr(scipy.stats, "wilcoxon", lambda _, **__: type("Answer", (), {"pvalue": next(answers)}))
    values = {name: [1.0 * n, 3.0 * n, 7.0 * n] for n, name in enumerate("abc")}
    # Smallest first: 3 x 0.01, 2 x 0.03, and no smaller than the one before: 0.06.
    assert [pair.p_holm for pair in compare_pairs(values)] == pytest.approx([0.03, 0.06, 0.06])


@pytest.mark.slow
@pytest.mark.usefixtures("frozen_heap")
def test_alike_methods_are_called_different_no_more_often_than_promised():
    """Size of the test, and of the family of ten comparisons, when nothing differs: both at most 5 %."""
    single = family = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        subjects = rng.normal(60, 10, 14)
        pairs = compare_pairs({name: (subjects + rng.normal(0, 3, 14)).tolist() for name in "abcde"})
        single += sum(pair.p < 0.05 for pair in pairs) / len(pairs)
        family += any(pair.significant for pair in pairs)
    assert single / 300 < 0.065
    assert family / 300 < 0.09
    assert single > 6, "and the test is no stone"


def test_a_real_difference_is_found():
    rng = np.random.default_rng(0)
    subjects = rng.normal(60, 10, 14)
    values = {"good": (subjects + 8).tolist(), "poor": subjects.tolist(), "same": (subjects + 1e-9).tolist()}
    verdicts = {(pair.first, pair.second): pair.significant for pair in compare_pairs(values)}
    assert verdicts["good", "poor"]


def test_test_and_means_must_point_the_same_way():
    """Better by a little on most subjects, and a total failure on two: ahead in ranks, behind in the mean."""
    rng = np.random.default_rng(0)
    steady = rng.normal(70, 2, 20)
    erratic = steady + rng.uniform(0.5, 1.5, 20)
    erratic[:2] = 0
    (found,) = compare_pairs({"steady": steady.tolist(), "erratic": erratic.tolist()})
    assert found.difference > 0 > found.rank_sum
    assert found.p_holm < 0.05 and not found.significant
    turned = found.turned()
    assert (turned.first, turned.difference, turned.significant) == ("erratic", -found.difference, False)


def test_ties_are_tested_exactly():
    """Three of eight subjects tie: all 2^5 signs of the others by hand."""
    differences = [3.0, 2.0, 2.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    (found,) = compare_pairs({"a": differences, "b": [0.0] * 8})
    assert found.p == pytest.approx(2 / 2**5, abs=0.01)
    assert found.rank_sum == pytest.approx(15)


def test_equal_methods_are_no_evidence():
    (found,) = compare_pairs({"a": [50.0, 60.0], "b": [50.0, 60.0]})
    assert (found.p, found.difference) == (1.0, 0.0)


def test_five_subjects_cannot_show_anything():
    (found,) = compare_pairs({"a": [90.0, 91, 92, 93, 94], "b": [1.0, 2.5, 3, 5, 4]})
    assert found.p == pytest.approx(2 / 2**5)


def test_ranks_within_subjects():
    found = rank({"a": [90.0, 80, 70], "b": [80.0, 80, 60], "c": [10.0, 20, 80]})
    assert found.mean_ranks == pytest.approx({"a": (1 + 1.5 + 2) / 3, "b": (2 + 1.5 + 3) / 3, "c": (3 + 3 + 1) / 3})
    assert found.n == 3
    # Friedman's statistic by hand: 12 / (n k (k + 1)) sum R^2 - 3 n (k + 1), corrected for one tie of two.
    ranks = np.array([[1, 2, 3], [1.5, 1.5, 3], [2, 3, 1]])
    statistic = 12 / (3 * 3 * 4) * (ranks.sum(axis=0) ** 2).sum() - 3 * 3 * 4
    statistic /= 1 - (2**3 - 2) / (3 * (3**3 - 3))
    assert found.p == pytest.approx(math.exp(-statistic / 2))
    assert math.isnan(rank({"a": [1.0], "b": [2.0], "c": [0.0]}).p)
