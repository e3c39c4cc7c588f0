import json

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from fedfactory.data.geometry import (
    Geometry,
    foreground_box,
    orient,
    orient_back,
    oriented_spacing,
    reduced_labels,
    resample,
)

AFFINES = {
    "RAS": np.diag([1.0, 2.0, 3.0, 1.0]),
    "LPS": np.diag([-1.0, -2.0, 3.0, 1.0]),
    "permuted": np.array([[0, 0, 3.0, 5], [-1.0, 0, 0, 7], [0, 2.0, 0, -4], [0, 0, 0, 1]]),
}


def geometry(shape, affine, orientation="RAS", spacing=None, size=32, box=None):
    oriented = orient(np.zeros(shape), affine, orientation).shape
    own = oriented_spacing(affine, orientation)
    return Geometry(
        raw_shape=shape,
        affine=tuple(map(tuple, affine.tolist())),
        orientation=orientation,
        box=box or tuple((0, n) for n in oriented),
        spacing=own,
        target_spacing=spacing or own,
        size=size,
    )


@pytest.mark.parametrize("orientation", ["RAS", "native"])
@pytest.mark.parametrize("name", AFFINES)
def test_orientation_is_inverted_exactly(name, orientation):
    data = np.random.default_rng(0).random((4, 5, 6))
    turned = orient(data, AFFINES[name], orientation)
    np.testing.assert_array_equal(orient_back(turned, AFFINES[name], orientation), data)
    if orientation == "RAS":
        reference = nibabel.as_closest_canonical(nibabel.Nifti1Image(data, AFFINES[name]))
        np.testing.assert_array_equal(turned, reference.get_fdata())
        np.testing.assert_allclose(oriented_spacing(AFFINES[name], "RAS"), reference.header.get_zooms())


@pytest.mark.parametrize("name", AFFINES)
def test_mask_returns_exactly_without_resampling(name):
    shape = (20, 24, 9)
    mask = np.zeros(shape, np.uint8)
    mask[6:14, 5:20, 2:7] = 1
    mask[8:12, 8:12, 3:5] = 2
    turned = orient(mask, AFFINES[name], "RAS")
    box = tuple((1, n - 1) for n in turned.shape)
    g = geometry(shape, AFFINES[name], box=box)
    slices = g.to_slices(g.to_planes(mask, labels=True), 0)
    assert slices.shape == (turned.shape[2] - 2, 32, 32)
    np.testing.assert_array_equal(g.to_raw(slices), mask)


def test_mask_returns_closely_after_resampling():
    shape = (40, 44, 12)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"))
    mask = ((grid**2).sum(axis=0) < 0.5).astype(np.uint8)
    g = geometry(shape, np.diag([1.0, 1.0, 5.0, 1.0]), spacing=(0.7, 0.7, 4.0), size=64)
    back = g.to_raw(g.to_slices(g.to_planes(mask, labels=True), 0))
    assert 2 * (back & mask).sum() / (back.sum() + mask.sum()) > 0.97


def test_centre_crop_keeps_the_centre():
    g = geometry((10, 12, 1), np.eye(4), size=6)
    data = np.zeros((10, 12, 1), np.uint8)
    data[5, 6, 0] = 1
    slices = g.to_slices(g.to_planes(data, labels=True), 0)
    assert slices.shape == (1, 6, 6)
    np.testing.assert_array_equal(g.to_raw(slices), data)


def test_resampling_agrees_with_scipy():
    """Voxel edges aligned and cubic in plane: the same as scipy's zoom in grid mode, away from the border."""
    rng = np.random.default_rng(0)
    data = ndimage.gaussian_filter(rng.random((20, 20, 3)), (2, 2, 0)).astype(np.float32)
    ours = resample(data, (30, 30, 3), labels=False)
    theirs = ndimage.zoom(data, (1.5, 1.5, 1), order=3, grid_mode=True, mode="nearest")
    np.testing.assert_allclose(ours[5:-5, 5:-5], theirs[5:-5, 5:-5], atol=2e-3)


def test_labels_stay_labels():
    labels = np.zeros((10, 10, 4), np.uint8)
    labels[:5] = 3
    out = resample(labels, (17, 13, 6), labels=True)
    assert out.dtype == np.uint8
    assert set(np.unique(out)) == {0, 3}


def test_foreground_of_hounsfield_units_and_of_noise():
    image = np.full((30, 30, 5), -1000.0)
    image[8:22, 5:25, 1:4] = 40.0
    image[10, 10, 0] = 3000.0
    assert foreground_box(image) == ((8, 22), (5, 25), (1, 4))
    noisy = np.abs(np.random.default_rng(0).normal(0, 1, (30, 30, 5)))
    noisy[8:22, 5:25] += 60
    assert foreground_box(noisy)[:2] == ((8, 22), (5, 25))


def test_survives_json():
    g = geometry((20, 24, 9), AFFINES["permuted"], spacing=(1.5, 1.0, 2.0))
    assert Geometry.from_json(json.loads(json.dumps(g.to_json()))) == g


def test_wrong_number_of_slices_is_refused():
    g = geometry((10, 10, 4), np.eye(4))
    with pytest.raises(ValueError, match="expected slices of shape"):
        g.to_raw(np.zeros((3, 32, 32), np.uint8))


def test_what_is_finer_than_the_new_voxels_does_not_turn_into_noise():
    """White noise on voxels of a quarter has a quarter of its deviation; a flat image stays flat."""
    noise = np.random.default_rng(0).normal(size=(256, 256, 2)).astype(np.float32)
    assert resample(noise, (64, 64, 2), labels=False).std() == pytest.approx(0.25, abs=0.03)
    flat = np.full((90, 70, 3), 7, np.float32)
    np.testing.assert_allclose(resample(flat, (31, 20, 2), labels=False), 7, rtol=1e-5)
    stripes = np.tile(np.array([0, 100], np.float32), 64)[:, None, None] * np.ones((1, 8, 1), np.float32)
    assert np.ptp(resample(stripes, (21, 8, 1), labels=False)[2:-2]) < 10, "a grid of one voxel does not fold"


def test_labels_on_larger_voxels_come_back_with_the_highest_dice():
    """Compared with every threshold of the class's share."""
    rng = np.random.default_rng(1)
    for size in (30, 60, 100):
        label = np.zeros((300, 300, 1), np.uint8)
        for _ in range(12):
            x, y, slope = rng.uniform(0, 300), rng.uniform(0, 300), rng.uniform(-2, 2)
            steps = np.arange(200)
            rows, columns = (x + steps).astype(int), (y + slope * steps).astype(int)
            inside = (rows < 300) & (0 <= columns) & (columns < 299)
            label[rows[inside], columns[inside], 0] = 1
            label[rows[inside], columns[inside] + 1, 0] = 1
        found = reduced_labels(label, (size, size, 1))
        share = label[..., 0].reshape(size, 300 // size, size, 300 // size).mean(axis=(1, 3))
        dice = {
            t: 2 * share[share >= t].sum() / ((share >= t).sum() + share.sum()) for t in np.unique(share[share > 0])
        }
        own = 2 * share[found[..., 0] > 0].sum() / ((found > 0).sum() + share.sum())
        assert own == pytest.approx(max(dice.values()))
        assert own > 2 * share[share > 0.5].sum() / ((share > 0.5).sum() + share.sum())


def test_shares_of_voxels_that_an_edge_cuts():
    label = np.zeros((5, 1, 1), np.uint8)
    label[2] = 1
    assert reduced_labels(label, (2, 1, 1)).tolist() == [[[1]], [[1]]], "half of it lies in either voxel"
    label[:2] = 2
    assert reduced_labels(label, (2, 1, 1)).tolist() == [[[2]], [[1]]]
