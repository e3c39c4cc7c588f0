"""The bars of the rank diagram: no two methods that differ lie under one."""

from itertools import combinations

import numpy as np
import pytest

from fedfactory.evaluation.charts import alike
from fedfactory.evaluation.statistics import Comparison


def pairs_of(order: str, differ: set[str]) -> list[Comparison]:
    return [
        Comparison(a, b, 9, 1.0, 1.0, p := 0.001 if {a + b, b + a} & differ else 0.5, p)
        for a, b in combinations(order, 2)
    ]


@pytest.mark.parametrize(
    ("differ", "runs"),
    [
        (set(), [(0, 3)]),
        ({"ad"}, [(0, 2), (1, 3)]),
        # a and c do not differ, but b between them differs from both: no bar could say it.
        ({"ab", "bc"}, [(2, 3)]),
        ({"ab", "ac", "ad", "bc", "bd", "cd"}, []),
        ({"ac", "ad", "bc", "bd"}, [(0, 1), (2, 3)]),
    ],
)
def test_bars_join_neighbours_that_are_alike(differ, runs):
    assert alike("abcd", pairs_of("abcd", differ)) == runs


@pytest.mark.parametrize("seed", range(5))
def test_no_significant_pair_has_a_common_bar_and_no_bar_could_be_longer(seed):
    rng, order = np.random.default_rng(seed), "abcdefghij"
    differ = {a + b for a, b in combinations(order, 2) if rng.random() < 0.15}
    runs = alike(order, pairs_of(order, differ))
    under = [set(order[first : last + 1]) for first, last in runs]
    assert runs and not any(set(pair) <= own for pair in differ for own in under)
    assert not any(one < other for one in under for other in under)
    for first, last in runs:
        for longer in (order[max(0, first - 1) : last + 1], order[first : last + 2]):
            assert len(longer) == last - first + 1 or any(set(pair) <= set(longer) for pair in differ)
