"""Other shapes for a few images: what a training needs to learn that anatomy varies.

A client of the demo has a few dozen slices of a handful of subjects. A generator reproduces those shapes, one at each
slice position, and forgets z. Smoothly deformed copies (Simard et al., ICDAR 2003) make size, place and shape vary.
Made once, before training, at the full resolution of the store: deforming small images in every step would blur them.
"""

from functools import lru_cache

import numpy as np
from scipy import ndimage

# Standard deviations: angle in radians, logarithms of size and of the ratio of height to width, shift and bending as
# shares of the edge. The bending is smooth over a quarter of the edge.
_ANGLE, _SIZE, _RATIO, _SHIFT, _BEND = 0.1, 0.1, 0.07, 0.03, 0.015
_KNOTS = 4


def deformed(
    images: np.ndarray, copies: int, seed: int = 0, labels: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Repeat images, and their labels, with other shapes.

    Args:
        images: (N, S, S) float32 in [-1, 1].
        copies: how often each image occurs in the result; 1 for the images alone.
        seed: of the deformations.
        labels: (N, S, S) uint8, deformed with their images (nearest neighbour); or None.

    Returns:
        Images (copies * N, S, S) float32 in [-1, 1] and labels of the same shape: what was given, then deformed copies
        in the same order, again and again. What comes in from outside repeats the border.
    """
    stream = np.random.default_rng(seed)
    result = np.empty((copies, *images.shape), np.float32)
    masks = None if labels is None else np.empty((copies, *labels.shape), labels.dtype)
    result[0] = images
    if masks is not None and labels is not None:
        masks[0] = labels
    for copy in range(1, copies):
        for number, image in enumerate(images):
            places = _places(image.shape[0], stream)
            ndimage.map_coordinates(image, places, output=result[copy, number], order=1, mode="nearest")
            if masks is not None and labels is not None:
                ndimage.map_coordinates(labels[number], places, output=masks[copy, number], order=0, mode="nearest")
    shape = (-1, *images.shape[1:])
    return result.reshape(shape), None if masks is None else masks.reshape(shape)


def _places(size: int, stream: np.random.Generator) -> np.ndarray:
    """Where each pixel of a deformed image is read: (2, size, size)."""
    angle, magnification, ratio = stream.normal(0, (_ANGLE, _SIZE, _RATIO))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn * np.exp(-magnification + np.array([ratio, -ratio]) / 2)
    centre = (size - 1) / 2
    grid = np.indices((size, size)).reshape(2, -1) - centre
    shift = stream.normal(0, _SHIFT * size, (2, 1))
    bend = stream.normal(0, _BEND * size, (2, _KNOTS, _KNOTS))
    spline = _spline(size)
    return (matrix @ grid + centre + shift).reshape(2, size, size) + spline @ bend @ spline.T


@lru_cache
def _spline(size: int) -> np.ndarray:
    """Cubic splines through the knots of an edge, one column for each: (size, knots)."""
    knots = np.eye(_KNOTS)
    return np.stack([ndimage.zoom(knot, size / _KNOTS, order=3, mode="nearest", grid_mode=True) for knot in knots], 1)
