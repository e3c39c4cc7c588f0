"""Tiles of large pictures: where they lie, and the way there and back."""

import numpy as np
import pytest

from fedfactory.data.geometry import Geometry
from fedfactory.data.tiling import cover, cut, join, spread


def disc(rows: int, columns: int, radius: float) -> np.ndarray:
    y, x = np.mgrid[:rows, :columns]
    return np.hypot(y - rows / 2, x - columns / 2) < radius


@pytest.mark.parametrize("shape", [(200, 260), (64, 64), (40, 300), (30, 20)])
def test_a_picture_is_covered_and_comes_back(shape: tuple[int, int]):
    field = np.ones(shape, bool)
    corners = cover(field, 64)
    plane = np.random.default_rng(0).integers(0, 4, shape, dtype=np.uint8)
    tiles = cut(plane, corners, 64, 0)
    assert tiles.shape == (len(corners), 64, 64)
    assert len(corners) == -(-shape[0] // 64) * -(-shape[1] // 64)
    np.testing.assert_array_equal(join(tiles, corners, shape), plane)


def test_only_the_field_of_view_is_covered():
    field = disc(400, 400, 120)
    corners = cover(field, 64)
    assert len(corners) == 16 and min(min(corner) for corner in corners) == 81
    covered = join(np.ones((len(corners), 64, 64), np.uint8), corners, field.shape)
    assert covered[field].all() and not covered[:81].any()


def test_where_tiles_overlap_the_one_counts_that_is_further_inside():
    corners = ((0, 0), (0, 40))
    tiles = np.stack([np.full((64, 64), value, np.uint8) for value in (1, 2)])
    row = join(tiles, corners, (64, 104))[32]
    assert (row[:52] == 1).all() and (row[52:] == 2).all()


@pytest.mark.parametrize("count", [1, 5, 9])
def test_training_tiles_are_spread_over_the_field_of_view(count: int):
    field = disc(400, 500, 180)
    corners = spread(field, 64, count)
    assert len(set(corners)) == count
    assert all(field[row : row + 64, column : column + 64].mean() >= 0.9 for row, column in corners)
    middles = np.asarray(corners) + 32
    if count == 9:
        distances = np.hypot(*(middles[:, None] - middles[None]).transpose(2, 0, 1)) + 1e3 * np.eye(count)
        assert distances.min() > 64, "no two lie on one another"
        assert np.abs(middles.mean(axis=0) - (200, 250)).max() < 30
    assert spread(field, 64, count) == corners


def test_a_field_of_view_without_room_for_a_tile_has_one():
    assert spread(disc(50, 40, 15), 64, 9) == ((-7, -12),)


def test_a_mask_of_tiles_lies_where_it_was_drawn():
    """A picture of 300 x 200 pixels at half their resolution, of which the field of view is tiled."""
    mask = np.zeros((300, 200, 1), np.uint8)
    mask[60:120, 40:80] = 1
    geometry = Geometry((300, 200, 1), tuple(map(tuple, np.eye(4).tolist())), "RAS", ((0, 300), (0, 200), (0, 1)),
                        (1.0, 1.0, 1.0), (2.0, 2.0, 1.0), 32, cover(np.ones((100, 150), bool), 32))  # fmt: skip
    assert geometry.count == 4 * 5
    tiles = geometry.to_slices(geometry.to_planes(mask, labels=True), 0)
    assert tiles.shape == (20, 32, 32)
    np.testing.assert_array_equal(geometry.to_raw(tiles), mask)
