"""Can somebody tell from what a factory draws whose slices trained it?

Membership inference by the nearest sample (Hayes et al., PoPETs 2019; Chen et al., CCS 2020): who holds a slice, and
the factory, calls it a member the nearer it lies to something that the factory draws. The area under the attack's ROC
curve is the probability that a member is called one more surely than a slice of a subject that was held out: one half
says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

REPEATS = 1000


def area(members: np.ndarray, others: np.ndarray) -> float:
    """Area under the ROC curve of an attack that takes the larger score for a member; ties count one half.

    Args:
        members: scores of what trained (m,).
        others: scores of what did not (n,).
    """
    ranks = rankdata(np.concatenate([members, others]))
    count = len(members)
    return float((ranks[:count].sum() - count * (count + 1) / 2) / (count * len(others)))


def area_and_interval(
    members: np.ndarray, others: np.ndarray, subjects: tuple[Sequence[str], Sequence[str]], seed: int
) -> tuple[float, float, float]:
    """The area, and its 95 % interval: subjects are drawn again with their slices (percentile bootstrap).

    Args:
        members: as for :func:`area`.
        others: as for :func:`area`.
        subjects: the subject of each of them.
        seed: of the draws.
    """
    stream = np.random.default_rng(seed)
    drawn = [
        area(*(_redrawn(scores, names, stream) for scores, names in zip((members, others), subjects, strict=True)))
        for _ in range(REPEATS)
    ]
    low, high = np.percentile(drawn, (2.5, 97.5))
    return area(members, others), float(low), float(high)


def _redrawn(scores: np.ndarray, names: Sequence[str], stream: np.random.Generator) -> np.ndarray:
    of_subject: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        of_subject.setdefault(name, []).append(place)
    groups = list(of_subject.values())
    return scores[np.concatenate([groups[k] for k in stream.integers(len(groups), size=len(groups))])]
