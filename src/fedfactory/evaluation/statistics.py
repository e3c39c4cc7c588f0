"""How sure a figure is: intervals over subjects, paired tests with correction, ranks.

Subjects are the unit: what a test set holds of them decides what may be said of others like them. Several seeds are
averaged within a subject first, so that training again does not make more patients.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Self

import numpy as np

LEVEL = 0.95
"""Of intervals; tests speak of significance below 1 - LEVEL after correction."""
_RESAMPLES = 9999
_FEWEST = 3


@dataclass(frozen=True)
class Comparison:
    """Two methods on the same subjects.

    Attributes:
        first: name of one method.
        second: name of the other.
        n: number of subjects.
        difference: mean over subjects of first minus second.
        rank_sum: of the signed ranks of the differences: what the test looks at; above 0 in favour of the first.
        p: of the two-sided Wilcoxon signed-rank test.
        p_holm: the same, corrected over the family of comparisons it was made with.
    """

    first: str
    second: str
    n: int
    difference: float
    rank_sum: float
    p: float
    p_holm: float

    @property
    def significant(self) -> bool:
        """Whether the difference is significant after correction, and test and means point the same way."""
        return self.p_holm < 1 - LEVEL and self.difference * self.rank_sum > 0

    def turned(self) -> Self:
        """The same comparison with the methods exchanged."""
        return replace(self, first=self.second, second=self.first, difference=-self.difference, rank_sum=-self.rank_sum)


@dataclass(frozen=True)
class Ranking:
    """Methods ranked within each subject.

    Attributes:
        mean_ranks: method -> mean rank over subjects; 1 is best, ties share the mean of their ranks.
        n: number of subjects.
        p: of Friedman's test that all methods are alike; nan for fewer than three methods or two subjects.
    """

    mean_ranks: dict[str, float]
    n: int
    p: float


def confidence_interval(values: Sequence[float], seed: int) -> tuple[float, float]:
    """Bootstrap interval (BCa; Efron, JASA 1987) of the mean over subjects, at :data:`LEVEL`.

    With few subjects it is too narrow: see docs/statistics.md for the coverage that was measured.

    Args:
        values: one for each subject; nan is left out.
        seed: of the resampling.

    Returns:
        Lower and upper limit; nan for fewer than three subjects, of which two say nothing about a spread.
    """
    from scipy.stats import bootstrap

    known = np.asarray([value for value in values if not math.isnan(value)])
    if len(known) < _FEWEST:
        return math.nan, math.nan
    if np.ptp(known) == 0:
        return float(known[0]), float(known[0])
    found = bootstrap(
        (known,),
        np.mean,
        confidence_level=LEVEL,
        n_resamples=_RESAMPLES,
        method="BCa",
        rng=np.random.default_rng(seed),
        vectorized=True,
    ).confidence_interval
    return float(found.low), float(found.high)


def compare_pairs(values: Mapping[str, Sequence[float]]) -> list[Comparison]:
    """Test all pairs of methods on the same subjects, corrected as one family (Holm, Scand. J. Stat. 1979).

    Args:
        values: method -> one value for each subject, in one order.
    """
    from statsmodels.stats.multitest import multipletests

    pairs = list(combinations(values, 2))
    tested = [_signed_ranks(np.subtract(values[first], values[second])) for first, second in pairs]
    corrected = multipletests([p for _, p in tested], method="holm")[1] if pairs else []
    return [
        Comparison(
            first,
            second,
            len(values[first]),
            float(np.mean(values[first]) - np.mean(values[second])),
            total,
            p,
            float(q),
        )
        for (first, second), (total, p), q in zip(pairs, tested, corrected, strict=True)
    ]


def _signed_ranks(differences: np.ndarray) -> tuple[float, float]:
    """Sum of the signed ranks and p of Wilcoxon's test; differences that are equal everywhere are no evidence."""
    from scipy.stats import permutation_test, rankdata, wilcoxon

    known = differences[differences != 0]
    if not len(known):
        return 0.0, 1.0
    ranks = np.zeros(len(differences))
    ranks[differences != 0] = rankdata(np.abs(known)) * np.sign(known)
    if len(np.unique(np.abs(known))) == len(differences):
        return float(ranks.sum()), float(wilcoxon(differences, method="exact").pvalue)
    # Scipy's own choice for ties would be the normal approximation, which few subjects do not allow. Ranks stay when
    # signs change: all are flipped at once, in a fraction of the time that wilcoxon's PermutationMethod takes.
    tested = permutation_test(
        (ranks,),
        lambda flipped, axis: np.maximum(flipped, 0).sum(axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=_RESAMPLES,
        rng=np.random.default_rng(0),
    )
    return float(ranks.sum()), float(tested.pvalue)


def rank(values: Mapping[str, Sequence[float]]) -> Ranking:
    """Rank methods within each subject, the highest value first (Demsar, JMLR 2006).

    Args:
        values: method -> one value for each subject, in one order.
    """
    from scipy.stats import friedmanchisquare, rankdata

    table = np.asarray(list(values.values()), dtype=float)
    ranks = rankdata(-table, axis=0)
    many = len(values) > 2 and table.shape[1] > 1
    p = float(friedmanchisquare(*table).pvalue) if many and np.ptp(table, axis=0).any() else math.nan
    return Ranking(dict(zip(values, ranks.mean(axis=1).tolist(), strict=True)), table.shape[1], p)
