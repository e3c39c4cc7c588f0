"""Square tiles of pictures that are larger than a slice; where the truth lies has no part in where tiles do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedfactory.config.parameters import STRICT, Count, Positive

Corner = tuple[int, int]
"""First row and first column of a tile."""
# A training tile lies in the field of view with at least this share of its pixels; places are tried at these steps.
_INSIDE, _STEPS = 0.9, 4


@dataclass(frozen=True)
class Tiles:
    """How a client's pictures are cut.

    Attributes:
        spacing_mm: edge of a pixel of a tile in mm; pictures are resampled to it.
        count: tiles of a training or validation picture, spread evenly over its field of view; a test picture is
            covered whole.
    """

    __pydantic_config__ = STRICT
    spacing_mm: Positive
    count: Count


def spread(field: np.ndarray, size: int, count: int) -> tuple[Corner, ...]:
    """Corners of tiles that lie in a field of view and far from each other, each next one furthest from all before.

    Args:
        field: (rows, columns) bool.
        size: edge of a tile in pixels.
        count: how many; fewer where there are fewer places.
    """
    step = max(1, size // _STEPS)
    places = [
        (row, column) for row in _places(field.shape[0], size, step) for column in _places(field.shape[1], size, step)
    ]
    shares = np.asarray([_share(field, corner, size) for corner in places])
    # A field that holds no whole tile has those that hold most of it.
    inside = shares >= min(_INSIDE, shares.max())
    corners = np.asarray(places, dtype=float)[inside]
    middle = np.argwhere(field).mean(axis=0) - size / 2
    distance = np.hypot(*(corners - middle).T)
    chosen = [int(distance.argmin())]
    nearest = np.hypot(*(corners - corners[chosen[0]]).T)
    while len(chosen) < min(count, len(corners)):
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.hypot(*(corners - corners[chosen[-1]]).T))
    found = [(int(row), int(column)) for row, column in corners[chosen]]
    return tuple(sorted(found))


def cover(field: np.ndarray, size: int) -> tuple[Corner, ...]:
    """Corners of tiles that hold all of a field of view, with as little overlap as there can be."""
    rows, columns = (np.flatnonzero(field.any(axis=axis)) for axis in (1, 0))
    found = [
        (row, column)
        for row in _covering(int(rows[0]), int(rows[-1]) + 1, size)
        for column in _covering(int(columns[0]), int(columns[-1]) + 1, size)
    ]
    return tuple(corner for corner in found if _share(field, corner, size) > 0)


def cut(plane: np.ndarray, corners: tuple[Corner, ...], size: int, value: float) -> np.ndarray:
    """Tiles (n, size, size) of a plane; what lies beyond its edge has a value."""
    out = np.full((len(corners), size, size), value, dtype=plane.dtype)
    for tile, (row, column) in zip(out, corners, strict=True):
        part = plane[max(row, 0) : row + size, max(column, 0) : column + size]
        top, left = max(-row, 0), max(-column, 0)
        tile[top : top + part.shape[0], left : left + part.shape[1]] = part
    return out


def join(tiles: np.ndarray, corners: tuple[Corner, ...], shape: tuple[int, int]) -> np.ndarray:
    """A plane of tiles (n, size, size); where several lie, the one counts in which the pixel is further inside."""
    size = tiles.shape[-1]
    edge = np.minimum(np.arange(size), np.arange(size)[::-1]) + 1
    depth = np.minimum.outer(edge, edge)
    plane, deepest = np.zeros(shape, tiles.dtype), np.zeros(shape, int)
    for tile, (row, column) in zip(tiles, corners, strict=True):
        here = np.s_[max(row, 0) : row + size, max(column, 0) : column + size]
        height, width = plane[here].shape
        there = np.s_[max(-row, 0) : max(-row, 0) + height, max(-column, 0) : max(-column, 0) + width]
        deeper = depth[there] > deepest[here]
        plane[here] = np.where(deeper, tile[there], plane[here])
        deepest[here] = np.maximum(depth[there], deepest[here])
    return plane


def _places(length: int, size: int, step: int) -> list[int]:
    """First pixels of tiles along an axis; a short axis is held by one tile, in its middle."""
    if length <= size:
        return [(length - size) // 2]
    return [*range(0, length - size, step), length - size]


def _covering(start: int, stop: int, size: int) -> list[int]:
    length = stop - start
    if length <= size:
        return [start + (length - size) // 2]
    count = -(-length // size)
    return [start + round(number * (length - size) / (count - 1)) for number in range(count)]


def _share(field: np.ndarray, corner: Corner, size: int) -> float:
    """Share of a tile's pixels that lie in the field of view."""
    row, column = corner
    part = field[max(row, 0) : max(row + size, 0), max(column, 0) : max(column + size, 0)]
    return float(part.sum()) / size**2
