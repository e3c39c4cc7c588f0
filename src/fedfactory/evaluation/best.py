"""How sure "best of its column" is: the probability that another row is truly better.

A cell is a mean over test subjects and training seeds, and both were drawn: other patients and other seeds would have
given other means. A bootstrap draws both again, the same subjects for every row, and counts how often each row wins.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

LEVEL = 0.95
"""A row alone is called best only if it wins with this probability."""
_RESAMPLES = 9999
_AT_ONCE = 1000
_ALIKE = 1e-9
"""Percent within which rows win together."""


def chances(values: Mapping[str, Sequence[Sequence[float]]], seed: int) -> dict[str, float]:
    """Probability that each row is truly best: its share of wins among the resamples of subjects and seeds.

    Subjects are drawn once for all rows, which were tested on the same; seeds for each row anew. Deviations from the
    mean are widened by the root of n / (n - 1), as a resample of n draws spreads by that much too little. One seed says
    nothing of others: then the probability is of the subjects alone.

    Args:
        values: row -> for each seed, one value for each subject, in one order; the higher the better.
        seed: of the resampling.

    Returns:
        row -> probability; they add up to 1, and rows that always win together share.
    """
    rng, names = np.random.default_rng(seed), list(values)
    table = np.asarray([values[name] for name in names], dtype=float)
    _, seeds, subjects = table.shape
    grand = table.mean(axis=(1, 2))
    of_subjects = table.mean(axis=1) - grand[:, None]
    of_seeds = table.mean(axis=2) - grand[:, None]
    rest = table - grand[:, None, None] - of_subjects[:, None] - of_seeds[:, :, None]
    wide, wide_seeds = (math.sqrt(n / (n - 1)) if n > 1 else 1.0 for n in (subjects, seeds))
    won = np.zeros(len(names))
    for start in range(0, _RESAMPLES, _AT_ONCE):
        draws = min(_AT_ONCE, _RESAMPLES - start)
        drawn = rng.multinomial(subjects, [1 / subjects] * subjects, draws) / subjects
        drawn_seeds = rng.multinomial(seeds, [1 / seeds] * seeds, (draws, len(names))) / seeds
        means = grand + wide * drawn @ of_subjects.T + wide_seeds * np.einsum("dmk,mk->dm", drawn_seeds, of_seeds)
        means += wide * wide_seeds * np.einsum("dmk,ds,mks->dm", drawn_seeds, drawn, rest, optimize=True)
        best = means >= means.max(axis=1, keepdims=True) - _ALIKE
        won += (best / best.sum(axis=1, keepdims=True)).sum(axis=0)
    return dict(zip(names, (won / _RESAMPLES).tolist(), strict=True))


def may_be_best(found: Mapping[str, float]) -> set[str]:
    """The fewest rows that hold the truly best one with :data:`LEVEL`, the likeliest first; rows alike come together.

    Args:
        found: of :func:`chances`.
    """
    total, chosen = 0.0, set[str]()
    for chance in sorted(set(found.values()), reverse=True):
        if total >= LEVEL:
            break
        alike = {name for name, own in found.items() if own == chance}
        total, chosen = total + chance * len(alike), chosen | alike
    return chosen


def chance_of_rival(best: tuple[float, float], rival: tuple[float, float], n: int, correlation: float = 0.5) -> float:
    """Probability that a rival is truly better, from what a table prints: a one-sided paired t-test.

    Args:
        best: mean and standard deviation over subjects of the best row.
        rival: the same of another one.
        n: number of subjects, at least 2.
        correlation: of both rows over subjects; no table prints it.
    """
    from scipy.stats import t

    variance = best[1] ** 2 + rival[1] ** 2 - 2 * correlation * best[1] * rival[1]
    if variance == 0:
        return 0.5 if best[0] == rival[0] else float(best[0] < rival[0])
    return float(t.sf((best[0] - rival[0]) / math.sqrt(variance / n), n - 1))
