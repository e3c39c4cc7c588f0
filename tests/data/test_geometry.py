import json

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from fedfactory.data.geometry import Geometry, foreground_box, orient, orient_back, oriented_spacing, resample

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
    slices = g.pad(g.to_slices(mask, labels=True), 0)
    assert slices.shape == (turned.shape[2] - 2, 32, 32)
    np.testing.assert_array_equal(g.to_raw(slices), mask)


def test_mask_returns_closely_after_resampling():
    shape = (40, 44, 12)
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"))
    mask = ((grid**2).sum(axis=0) < 0.5).astype(np.uint8)
    g = geometry(shape, np.diag([1.0, 1.0, 5.0, 1.0]), spacing=(0.7, 0.7, 4.0), size=64)
    back = g.to_raw(g.pad(g.to_slices(mask, labels=True), 0))
    assert 2 * (back & mask).sum() / (back.sum() + mask.sum()) > 0.97


def test_centre_crop_keeps_the_centre():
    g = geometry((10, 12, 1), np.eye(4), size=6)
    data = np.zeros((10, 12, 1), np.uint8)
    data[5, 6, 0] = 1
    slices = g.pad(g.to_slices(data, labels=True), 0)
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
