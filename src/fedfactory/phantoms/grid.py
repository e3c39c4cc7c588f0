"""The sampling grid: millimetre coordinates on a supersampled raster, and the way back to voxels."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage


@dataclass(frozen=True)
class Grid:
    """A stack of slices, sampled finer than its voxels in plane.

    Attributes:
        rows: voxels from anterior (or top) to posterior.
        cols: voxels from the left of the image to its right.
        slices: number of slices.
        spacing: in-plane voxel size in mm (square).
        thickness: distance between slice centres in mm.
        fine: fine samples per voxel side.
        z0: position of the stack's middle in mm.
    """

    rows: int
    cols: int
    slices: int
    spacing: float
    thickness: float
    fine: int = 2
    z0: float = 0.0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (slices, fine rows, fine columns) of an array on the fine raster."""
        return self.slices, self.rows * self.fine, self.cols * self.fine

    @property
    def step(self) -> float:
        """Side of a fine sample in mm."""
        return self.spacing / self.fine

    def _axis(self, count: int, step: float) -> np.ndarray:
        return ((np.arange(count) - (count - 1) / 2) * step).astype(np.float32)

    @cached_property
    def x(self) -> np.ndarray:
        """Column coordinate in mm, shape (1, 1, W), growing to the right of the image (patient left)."""
        return self._axis(self.shape[2], self.step)[None, None, :]

    @cached_property
    def y(self) -> np.ndarray:
        """Row coordinate in mm, shape (1, H, 1), growing downwards (posterior; inferior in short axis)."""
        return self._axis(self.shape[1], self.step)[None, :, None]

    @cached_property
    def z(self) -> np.ndarray:
        """Slice coordinate in mm, shape (Z, 1, 1), growing to the head (to the base of the heart in short axis)."""
        return self._axis(self.slices, self.thickness)[:, None, None] + np.float32(self.z0)

    def to_voxels(self, image: np.ndarray) -> np.ndarray:
        """Average the fine samples (..., rows * fine, cols * fine) of each voxel."""
        return _blocks(image, self.fine).mean(axis=(-3, -1), dtype=np.float32)

    def to_labels(self, labels: np.ndarray, classes: int) -> np.ndarray:
        """Give each voxel the class that holds most of its fine samples (the lower class on a tie), as uint8."""
        counts = [_blocks(labels == k, self.fine).sum(axis=(-3, -1), dtype=np.int16) for k in range(classes)]
        return np.argmax(np.stack(counts), axis=0).astype(np.uint8)


def _blocks(image: np.ndarray, fine: int) -> np.ndarray:
    rows, cols = image.shape[-2] // fine, image.shape[-1] // fine
    return image.reshape(*image.shape[:-2], rows, fine, cols, fine)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], cells: tuple[float, ...]) -> np.ndarray:
    """Draw a smooth random field of unit variance by interpolating a coarse lattice of normal deviates.

    Args:
        rng: stream to draw from.
        shape: shape of the field.
        cells: lattice cells along each axis, about the number of blobs that fit there.

    Returns:
        Float32 array of the given shape, cubic B-spline of white noise, scaled to standard deviation 1.
    """
    # Three knots of margin at either end: the spline then needs no boundary rule inside the field.
    knots = [int(np.ceil(c)) + 6 for c in cells]
    field = rng.standard_normal(knots).astype(np.float32)
    for axis, (count, cell) in enumerate(zip(shape, cells, strict=True)):
        field = _resample(field, axis, 2.5 + cell * (np.arange(count) + 0.5) / count)
    return field / max(float(field.std()), 1e-6)


def _resample(field: np.ndarray, axis: int, at: np.ndarray) -> np.ndarray:
    """Evaluate cubic B-splines along one axis at fractional knot positions (four weighted gathers, no BLAS)."""
    base = np.floor(at).astype(int)
    t = (at - base).astype(np.float32)
    weights = (
        (1 - t) ** 3 / 6,
        (3 * t**3 - 6 * t**2 + 4) / 6,
        (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6,
        t**3 / 6,
    )
    shape = [1] * field.ndim
    shape[axis] = len(at)
    last = field.shape[axis] - 1
    return sum(
        np.take(field, np.clip(base + k - 1, 0, last), axis=axis) * w.reshape(shape) for k, w in enumerate(weights)
    )


def ellipsoid(
    x: np.ndarray, y: np.ndarray, z: np.ndarray, centre: tuple[float, ...], semi: tuple[float, ...]
) -> np.ndarray:
    """Return the normalised radius (1 on the surface) of an axis-parallel ellipsoid at broadcastable coordinates."""
    u, v, w = ((c - m) / s for c, m, s in zip((x, y, z), centre, semi, strict=True))
    return np.sqrt(u * u + v * v + w * w)


def psf(image: np.ndarray, fwhm_mm: float, step_mm: float, axial: tuple[float, float] | None = None) -> np.ndarray:
    """Blur with a Gaussian point spread function.

    Args:
        image: (..., rows, cols) on the fine raster.
        fwhm_mm: in-plane full width at half maximum in mm.
        step_mm: fine sample size in mm.
        axial: FWHM and slice distance in mm to blur through the slices (axis -3) too.

    Returns:
        The blurred image; edges are continued by their nearest value.
    """
    to_sigma = 1 / np.sqrt(8 * np.log(2))
    for axis in (-1, -2):
        image = ndimage.gaussian_filter1d(image, fwhm_mm * to_sigma / step_mm, axis=axis, mode="nearest", truncate=3)
    if axial is not None:
        image = ndimage.gaussian_filter1d(image, axial[0] * to_sigma / axial[1], axis=-3, mode="nearest", truncate=3)
    return image
