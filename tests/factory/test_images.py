"""Which of a client's slices the factory sees, and at which size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from fedfactory.data.geometry import Geometry
from fedfactory.data.store import ClientView, SliceRow, StoreWriter
from fedfactory.errors import FedFactoryError
from fedfactory.factory.images import fill_positions, training_images

SIZE = 16
# case, split, labelled, position bin of each slice
VOLUMES = [
    ("a", "train", True, [-1, 0, 14, 28, -1]),
    ("b", "test", True, [3, 4]),
    ("c", "train", False, [-1, 7]),
    ("d", "validation", True, [5, -1, 9]),
    ("e", "train", True, [-1, -1]),
]


def make_store(folder: Path, images: np.ndarray, volumes: list = VOLUMES) -> ClientView:
    folder.mkdir()
    writer = StoreWriter(folder, images.shape[-1], len(images))
    geometry = Geometry(
        (1, 1, 1), tuple(map(tuple, np.eye(4))), "native", ((0, 1),) * 3, (1.0,) * 3, (1.0,) * 3, images.shape[-1]
    )
    start = 0
    for case, split, labelled, bins in volumes:
        rows = [SliceRow(case, case, n, b, split, labelled, False) for n, b in enumerate(bins)]
        part = images[start : start + len(bins)]
        writer.add(rows, geometry, part, np.zeros(part.shape, np.uint8), [True] * len(part))
        start += len(bins)
    writer.close(["organ"], {})
    return ClientView(folder)


def noise(size: int = SIZE) -> np.ndarray:
    count = sum(len(bins) for *_, bins in VOLUMES)
    return np.random.default_rng(0).uniform(-1, 1, (count, size, size)).astype(np.float32)


def test_images_stand_for_the_empty_bins_above_them():
    assert fill_positions(np.zeros(7, np.int64), 3).tolist() == [0, 1, 2, 0, 1, 2, 0], "flat images"
    assert fill_positions(np.array([0, 3, 0, 3, 0, 4, 0]), 6).tolist() == [0, 3, 1, 3, 2, 4, 0]
    every = np.array([2, 0, 1, 2])
    assert fill_positions(every, 3).tolist() == every.tolist(), "nothing to fill"


def test_slices_of_the_organ_come_in_the_order_of_the_index_labelled_or_not(tmp_path):
    images = noise()
    found, positions = training_images(make_store(tmp_path / "store", images), SIZE)
    assert (found.dtype, positions.dtype) == (np.float32, np.int64)
    np.testing.assert_array_equal(positions, [0, 14, 28, 7])
    np.testing.assert_array_equal(found, images[[1, 2, 3, 8]])


def test_validation_is_another_split(tmp_path):
    images = noise()
    found, positions = training_images(make_store(tmp_path / "store", images), SIZE, "validation")
    np.testing.assert_array_equal(positions, [5, 9])
    np.testing.assert_array_equal(found, images[[9, 11]])


def test_smaller_images_are_means_over_blocks(tmp_path):
    images = noise()
    found, _ = training_images(make_store(tmp_path / "store", images), 4)
    blocks = images[[1, 2, 3, 8]].reshape(4, 4, 4, 4, 4)
    np.testing.assert_allclose(found, blocks.mean(axis=(2, 4)), atol=1e-6)


def test_larger_images_are_bilinear(tmp_path):
    images = noise()
    found, _ = training_images(make_store(tmp_path / "store", images), 32)
    wanted = functional.interpolate(torch.from_numpy(images[[1, 2, 3, 8]])[:, None], (32, 32), mode="bilinear")
    np.testing.assert_allclose(found, wanted[:, 0], atol=1e-6)
    assert np.abs(found).max() <= 1


def test_a_store_of_no_integer_multiple_is_reduced_without_aliasing(tmp_path):
    """A chessboard of one pixel has no place in fewer pixels: what is left of it is close to grey."""
    count = sum(len(bins) for *_, bins in VOLUMES)
    chessboard = (np.indices((24, 24)).sum(axis=0) % 2 * 2 - 1).astype(np.float32)
    view = make_store(tmp_path / "store", np.repeat(chessboard[None], count, axis=0))
    found, _ = training_images(view, 16)
    assert found.shape == (4, 16, 16)
    assert np.abs(found).max() < 0.5


@pytest.mark.parametrize("size", [4, SIZE, 32])
def test_white_stays_white(tmp_path, size):
    view = make_store(tmp_path / "store", np.ones_like(noise()))
    np.testing.assert_array_equal(training_images(view, size)[0], 1)


def test_client_without_a_slice_of_the_organ_is_named(tmp_path):
    volumes = [("a", "train", True, [-1, -1]), ("b", "test", True, [0])]
    view = make_store(tmp_path / "store", noise()[:3], volumes)
    with pytest.raises(FedFactoryError, match=f"{view.folder}.*'train'"):
        training_images(view, SIZE)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1.01, -1.01])
def test_bad_values_name_the_folder(tmp_path, value):
    images = noise()
    images[2, 3, 3] = value
    view = make_store(tmp_path / "store", images)
    with pytest.raises(FedFactoryError, match=f"{view.folder}.*-1, 1"):
        training_images(view, SIZE)


@pytest.mark.parametrize("size", [0, 12, -4])
def test_size_is_a_power_of_two(tmp_path, size):
    view = make_store(tmp_path / "store", noise())
    with pytest.raises(FedFactoryError, match=f"{view.folder}.*power of two"):
        training_images(view, size)


def test_images_that_are_not_square_are_refused(tmp_path):
    view = make_store(tmp_path / "store", noise())
    np.save(view.folder / "images.npy", noise()[:, :8])
    with pytest.raises(FedFactoryError, match=f"{view.folder}.*8 x 16"):
        training_images(ClientView(view.folder), SIZE)


def test_test_slices_are_not_selected_by_the_organ(tmp_path):
    with pytest.raises(ValueError, match="test"):
        training_images(make_store(tmp_path / "store", noise()), SIZE, "test")


def test_only_the_asked_split_counts(tmp_path):
    """A bad value in a test volume is none of the factory's business."""
    images = noise()
    images[5] = np.nan
    assert len(training_images(make_store(tmp_path / "store", images), SIZE)[0]) == 4
