"""The probability that another row is truly better, against what is known of normal values."""

import math

import numpy as np
import pytest
from scipy.stats import norm

from fedfactory.evaluation.best import chance_of_rival, chances, may_be_best


def test_two_rows_of_one_seed_are_compared_like_their_paired_difference():
    rng = np.random.default_rng(0)
    common = rng.normal(70, 10, 400)
    first, second = common + rng.normal(0.15, 1, 400), common + rng.normal(0, 1, 400)
    difference = first - second
    expected = norm.cdf(difference.mean() / (difference.std(ddof=1) / math.sqrt(400)))
    found = chances({"first": [first], "second": [second]}, 0)
    assert sum(found.values()) == pytest.approx(1)
    assert found["first"] == pytest.approx(expected, abs=0.02)
    assert 0.6 < found["first"] < 0.999, "or the test says nothing"


@pytest.mark.parametrize(("seeds", "shift"), [(10, 2.0), (30, 1.0)])
def test_seeds_that_differ_make_best_less_sure(seeds, shift):
    """Subjects agree perfectly: all doubt is of the seeds."""
    rng = np.random.default_rng(1)
    levels = {name: rng.permutation(np.linspace(-3, 3, seeds)) + add for name, add in (("a", shift), ("b", 0.0))}
    values = {name: [[50 + level] * 30 for level in own] for name, own in levels.items()}
    spread = np.std(np.linspace(-3, 3, seeds), ddof=1)
    found = chances(values, 0)["a"]
    # Three draws of seeds are few and not normal; the middle of the distribution is right all the same.
    assert found == pytest.approx(norm.cdf(shift / (spread * math.sqrt(2 / seeds))), abs=0.05)
    assert chances({name: own[:1] for name, own in values.items()}, 0) != {"a": found, "b": 1 - found}


def test_how_often_the_best_is_not_the_best():
    """Three rows that are truly alike: one alone may be called best in 5 % at most, if seeds are known to differ."""
    rng, alone = np.random.default_rng(2), {1: 0, 3: 0}
    for trial in range(80):
        for seeds in alone:
            means = rng.normal(60, 8, (1, 1, 30)) + rng.normal(0, 2, (3, seeds, 1))
            values = means + rng.normal(0, 3, (3, seeds, 30))
            alone[seeds] += len(may_be_best(chances(dict(zip("abc", values, strict=True)), trial))) == 1
    assert alone[3] / 80 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 80)
    assert alone[1] / 80 > 0.3, "one seed hides what another would change: why published tables have several"


def test_bold_is_the_smallest_set_that_holds_the_best():
    assert may_be_best({"a": 0.96, "b": 0.03, "c": 0.01}) == {"a"}
    assert may_be_best({"a": 0.7, "b": 0.28, "c": 0.02}) == {"a", "b"}
    assert may_be_best({"a": 0.5, "b": 0.5}) == {"a", "b"}
    same = [[1.0, 2.0, 3.0]]
    alike = chances({"a": same, "b": same, "c": [[0.0, 0.0, 0.0]]}, 0)
    assert alike == {"a": 0.5, "b": 0.5, "c": 0.0} and may_be_best(alike) == {"a", "b"}


def test_rows_without_any_spread():
    assert chance_of_rival((90, 0), (80, 0), 5) == 0
    assert chance_of_rival((80, 0), (90, 0), 5) == 1
    assert chance_of_rival((80, 0), (80, 0), 5) == 0.5
