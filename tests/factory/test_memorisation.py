"""Slices learned by heart are found, and slices that are only alike are not."""

import numpy as np
import pytest

from fedfactory.data.deformation import deformed
from fedfactory.factory.memorisation import memorisation, pixels

COPIES = 3


def site(seed: int, subjects: int, slices: int = 4) -> tuple[np.ndarray, list[str]]:
    """Slices (n, 32, 32) of subjects whose organ has a place, a size and a texture of its own, and their names."""
    stream, images, names = np.random.default_rng(seed), [], []
    grid = np.stack(np.mgrid[-1:1:32j, -1:1:32j])
    for number in range(subjects):
        centre, radius, waves = stream.uniform(-0.25, 0.25, 2), stream.uniform(0.35, 0.6, 2), stream.normal(size=(6, 4))
        for level in np.linspace(0.7, 1.0, slices):
            inside = (((grid - centre[:, None, None]) / (level * radius[:, None, None])) ** 2).sum(0) < 1
            texture = sum(a * np.sin(5 * (b * grid[0] + c * grid[1]) + d + level) for a, b, c, d in waves)
            images.append(np.where(inside, 0.3 + 0.15 * texture, -0.9) + 0.02 * stream.normal(size=(32, 32)))
            names.append(f"{seed}-{number}")
    return np.clip(images, -1, 1).astype(np.float32), names


def with_copies(images: np.ndarray) -> np.ndarray:
    found, _ = deformed(images, COPIES)
    return found.reshape(COPIES, *images.shape)


def measured(found: np.ndarray, seed: int = 0, flip: bool = True):
    training, names = site(10 * seed + 1, 9)
    held_out, others = site(10 * seed + 2, 3)
    return memorisation(found, with_copies(training), with_copies(held_out), (names, others), pixels, flip=flip, seed=0)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.attack("a factory that repeats training slices", "found, twenty of twenty")
def test_a_factory_that_repeats_its_training_slices_is_found(seed):
    """As they are, deformed as training deforms them, turned over, and with noise: 20 of 20."""
    training, _ = site(10 * seed + 1, 9)
    stream = np.random.default_rng(seed)
    repeated = with_copies(training).reshape(-1, 32, 32)[stream.integers(0, COPIES * len(training), 40)]
    repeated = np.where(stream.random(40)[:, None, None] < 0.5, repeated[:, :, ::-1], repeated)
    found = measured(repeated + 0.02 * stream.normal(size=repeated.shape).astype(np.float32), seed)
    assert not found.passes
    assert found.copies == found.count == 40
    assert found.p <= 0.05 and found.training < found.held_out


@pytest.mark.attack("a few copies among honest slices", "found")
def test_a_few_copies_among_honest_slices_are_found():
    honest, _ = site(99, 9)
    training, _ = site(1, 9)
    found = measured(np.concatenate([honest, training[[3]]]))
    assert found.copies == 1 and not found.passes
    assert found.nearest[-1] == 3 and found.distances[-1] == pytest.approx(0, abs=1e-6)


def test_honest_slices_pass_as_often_as_the_level_says():
    """Slices of other subjects of the same kind: the test is exact, so that at most a twentieth fails it."""
    results = [measured(site(1000 + seed, 9)[0], seed) for seed in range(40)]
    assert not any(found.copies for found in results)
    assert sum(found.p <= 0.05 for found in results) <= 6
    assert 0.3 < np.mean([found.p for found in results]) < 0.7
    assert results[0].least_p == pytest.approx(1 / 220), "three of twelve subjects"


def test_flips_count_only_where_training_flips():
    training, _ = site(1, 9)
    turned = training[:, :, ::-1]
    assert measured(turned, flip=True).copies == len(turned)
    assert measured(turned, flip=False).copies == 0


def test_what_cannot_be_compared_is_refused():
    training, names = site(1, 3)
    copies = with_copies(training)
    with pytest.raises(ValueError, match="different ones"):
        memorisation(training, copies, copies, (names, names), pixels, flip=True, seed=0)
    with pytest.raises(ValueError, match="as many"):
        memorisation(training, copies, copies[:1], (names, ["x"] * len(names)), pixels, flip=True, seed=0)
