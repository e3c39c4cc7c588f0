"""The figures of quality say what they claim to say."""

import numpy as np
import pytest
from scipy import ndimage

from fedfactory.factory.quality import alignment, sliced_wasserstein, spread_positions, variety
from fedfactory.factory.report import passes, summary
from fedfactory.storage.tables import to_markdown


def blobs(count: int, seed: int, width: float = 3.0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(count, 32, 32))
    smooth = ndimage.gaussian_filter(noise, (0, width, width))
    return np.clip(smooth / smooth.std() / 2, -1, 1).astype(np.float32)


def test_distance_is_zero_for_the_same_images_and_grows_with_the_difference():
    real = blobs(24, 0)
    assert sliced_wasserstein(real, real) == 0
    alike, rougher, noise = (sliced_wasserstein(blobs(24, 1, width), real) for width in (3.0, 2.0, 0.5))
    assert alike < rougher < noise
    brighter = sliced_wasserstein(np.clip(real + 0.5, -1, 1), real)
    assert brighter > 3 * alike
    assert sliced_wasserstein(blobs(24, 1), real) == alike, "no hidden random number"
    with pytest.raises(ValueError, match="cannot be compared"):
        sliced_wasserstein(real[:5], real)


def test_alignment_sees_shared_anatomy_through_another_contrast():
    anatomy, other = blobs(24, 0), blobs(24, 1)
    inverted = -(anatomy**3)
    mean, error = alignment(anatomy, inverted, np.roll(inverted, 1, axis=0))
    assert mean > 10 * error > 0
    mean, error = alignment(anatomy, other, np.roll(other, 1, axis=0))
    assert abs(mean) < 3 * error
    mean, _ = alignment(anatomy, np.zeros_like(anatomy), np.zeros_like(anatomy))
    assert mean == 0, "an empty rendering shares nothing"


def test_variety_is_measured_in_shares_of_the_real_one():
    real = blobs(400, 0)
    assert variety(blobs(400, 1), real) == pytest.approx(1, abs=0.05)
    assert variety(real / 2, real) == pytest.approx(0.5)
    assert variety(real[:1].repeat(5, 0), real) < 1e-6, "z is ignored"
    assert np.isnan(variety(real, real[:1]))


def test_positions_cover_the_organ():
    assert list(spread_positions(29, 3)) == [0, 14, 28]


def test_gates():
    first = {"closeness": 9.0, "shuffled": 9.0, "alignment": 0.0, "alignment_se": 0.1, "variety": 0.0}
    good = {"closeness": 1.0, "shuffled": 2.0, "alignment": 0.3, "alignment_se": 0.1, "variety": 0.9}
    assert all(passes([first, good]).values())
    rows = summary(
        {"PET": [first, {**good, "real_to_real": 0.6}], "CT": [first, {**good, "real_to_real": 1, "shuffled": 0}]}
    )
    assert [row["gates"] for row in rows] == ["all passed", "failed: shuffled"]
    assert to_markdown(rows).splitlines()[2] == "| PET | 1 | 1 | 9 | 2 | 0.3000 ± 0.1000 | 0.90 | all passed |"
    assert not passes([first, {**good, "closeness": 10.0}])["untrained"]
    assert not passes([first, {**good, "shuffled": 0.5}])["shuffled"]
    assert not passes([first, {**good, "alignment": 0.15}])["aligned"]
