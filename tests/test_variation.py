"""Deformed copies: other shapes, the same look."""

import numpy as np
from scipy import ndimage

from fedfactory.data.deformation import _spline, deformed


def discs(count: int = 3) -> np.ndarray:
    grid = np.indices((64, 64)) - 31.5
    disc = np.where((grid**2).sum(0) < 15**2, 0.6, -1.0)
    return np.stack([disc] * count).astype(np.float32)


def test_the_images_themselves_come_first_and_copies_follow_in_their_order():
    images = discs() * np.array([1.0, 0.5, 0.25], np.float32)[:, None, None]
    found, none = deformed(images, 4)
    assert none is None
    assert found.shape == (12, 64, 64) and found.dtype == np.float32
    np.testing.assert_array_equal(found[:3], images)
    # The brightest value tells which image a copy is of.
    np.testing.assert_allclose(found.max((1, 2)), np.tile([0.6, 0.3, 0.15], 4), atol=1e-6)
    np.testing.assert_array_equal(deformed(images, 4)[0], found, "no hidden random number")
    np.testing.assert_array_equal(deformed(images, 1)[0], images)


def test_copies_differ_in_place_size_and_shape_around_the_original():
    found = deformed(discs(1), 300)[0][1:] > -0.2
    areas = found.sum((1, 2)) / found[0].size / (np.pi * 15**2 / 64**2)
    assert 0.9 < areas.mean() < 1.15 and 0.1 < areas.std() < 0.3, "size"
    centres = np.array([ndimage.center_of_mass(mask) for mask in found]) - 31.5
    assert np.abs(centres.mean(0)).max() < 0.5 and 1.5 < centres.std(0).min(), "place"
    ratios = [np.ptp(np.nonzero(mask.any(1))) / np.ptp(np.nonzero(mask.any(0))) for mask in found]
    assert np.std(ratios) > 0.04, "shape"
    assert all(ndimage.label(mask)[1] == 1 for mask in found), "nothing is torn"


def test_values_stay_in_range_and_the_border_goes_on_outside():
    images = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32)).astype(np.float32)
    found, _ = deformed(images, 20)
    assert found.min() >= -1 and found.max() <= 1
    assert (deformed(np.full((1, 32, 32), 0.3, np.float32), 20)[0] > 0.29).all()


def test_labels_are_deformed_with_their_images():
    images = discs()
    labels = (images > 0).astype(np.uint8)
    found, masks = deformed(images, 6, labels=labels)
    assert masks.dtype == np.uint8 and masks.shape == found.shape and set(np.unique(masks)) == {0, 1}
    np.testing.assert_array_equal(found, deformed(images, 6)[0], "labels change no draw")
    for image, mask in zip(found, masks, strict=True):
        inside = image > -0.2
        assert 2 * (mask & inside).sum() / (mask.sum() + inside.sum()) > 0.98


def test_the_bending_is_a_cubic_spline_through_its_knots():
    knots = np.random.default_rng(0).normal(size=(4, 4))
    expected = ndimage.zoom(knots, 16, order=3, mode="nearest", grid_mode=True)
    spline = _spline(64)
    np.testing.assert_allclose(spline @ knots @ spline.T, expected, atol=1e-12)
