"""An attack that knows gets one, one that guesses a half; the interval is over subjects, not slices."""

import numpy as np
import pytest

from fedfactory.factory.membership import area, area_and_interval


def test_the_area_is_the_share_of_pairs_in_the_right_order():
    members, others = np.array([3.0, 2.0, 2.0]), np.array([2.0, 1.0])
    right = [(m > o) + (m == o) / 2 for m in members for o in others]
    assert area(members, others) == pytest.approx(np.mean(right))
    assert area(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 1.0
    assert area(np.array([0.0, 1.0]), np.array([2.0, 3.0])) == 0.0


def test_slices_of_one_subject_are_no_more_than_one_subject():
    """Subjects differ, slices of a subject hardly: the interval holds a half about as often as it says, with few."""
    stream, held, alone = np.random.default_rng(0), 0, 0
    for trial in range(60):
        names = [[f"{side}{s}" for s in range(count) for _ in range(10)] for side, count in (("m", 9), ("o", 9))]
        levels = [np.repeat(stream.normal(size=9), 10) + 0.1 * stream.normal(size=90) for _ in range(2)]
        _, low, high = area_and_interval(*levels, (names[0], names[1]), trial)
        held += low <= 0.5 <= high
        each = [list(map(str, range(90))), list(map(str, range(90, 180)))]
        _, low, high = area_and_interval(*levels, (each[0], each[1]), trial)
        alone += low <= 0.5 <= high
    assert held >= 50 and alone < held - 15
