"""The way from a raw voxel grid to square slices, and the way back for a predicted mask.

Both directions are one object, so that what prepares an image is what returns its mask. Arrays are (x, y, z) here;
slices leave as (slice, row, column) = (z, y, x): whole planes, or tiles of planes that are larger than a slice.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from fedfactory.data.tiling import Corner, cut, join

Orientation = Literal["RAS", "native"]
Box = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

# Spacings that agree to a percent are equal: resampling would only blur.
_SAME_SPACING = 0.01
# Beyond this ratio of new to old voxels their grid would miss, or fold, what is finer than the new ones.
_SMALLER = 1.25


@dataclass(frozen=True)
class Geometry:
    """How one volume was brought to slices.

    Attributes:
        raw_shape: shape of the raw array (x, y, z).
        affine: raw affine, (4, 4) as nested tuples, voxel indices to mm.
        orientation: ``RAS`` (axes permuted and flipped to right, anterior, superior) or ``native`` (array order).
        box: foreground box (start, stop) per axis after orientation.
        spacing: voxel size in mm per axis after orientation.
        target_spacing: voxel size in mm after resampling.
        size: edge of the square slices in pixels.
        tiles: corners (row, column) of the tiles that a resampled plane is cut into; None where a plane is a slice.
    """

    raw_shape: tuple[int, int, int]
    affine: tuple[tuple[float, ...], ...]
    orientation: Orientation
    box: Box
    spacing: tuple[float, float, float]
    target_spacing: tuple[float, float, float]
    size: int
    tiles: tuple[Corner, ...] | None = None

    @property
    def count(self) -> int:
        """Number of slices."""
        return self.resampled_shape[2] * (1 if self.tiles is None else len(self.tiles))

    @property
    def box_shape(self) -> tuple[int, int, int]:
        """Shape of the foreground box."""
        return tuple(stop - start for start, stop in self.box)  # type: ignore[return-value]

    @property
    def resampled_shape(self) -> tuple[int, int, int]:
        """Shape of the box after resampling: same extent in mm, at least one voxel."""
        return tuple(
            n if _same(old, new) else max(1, round(n * old / new))
            for n, old, new in zip(self.box_shape, self.spacing, self.target_spacing, strict=True)
        )  # type: ignore[return-value]

    def to_planes(self, array: np.ndarray, *, labels: bool) -> np.ndarray:
        """Bring a raw array to resampled planes.

        Args:
            array: (x, y, z) of ``raw_shape``; an image, or a label map if ``labels``.
            labels: label maps are resampled as labels and stay integers.

        Returns:
            (planes, height, width) float32 or uint8, cropped to the box, resampled; see :meth:`to_slices` for the rest.
        """
        boxed = orient(array, np.asarray(self.affine), self.orientation)[tuple(slice(a, b) for a, b in self.box)]
        resampled = resample(boxed, self.resampled_shape, labels=labels)
        return resampled.transpose(2, 1, 0)

    def to_slices(self, planes: np.ndarray, value: float) -> np.ndarray:
        """Cut planes (n, h, w) into tiles, or centre them in slices: (count, size, size), ``value`` beyond edges."""
        if self.tiles is not None:
            return np.concatenate([cut(plane, self.tiles, self.size, value) for plane in planes])
        out = np.full((len(planes), self.size, self.size), value, dtype=planes.dtype)
        (dst_y, src_y), (dst_x, src_x) = (_centre(n, self.size) for n in planes.shape[1:])
        out[:, dst_y, dst_x] = planes[:, src_y, src_x]
        return out

    def to_raw(self, slices: np.ndarray) -> np.ndarray:
        """Bring predicted labels (n, size, size) uint8 back to the raw grid, (x, y, z) of ``raw_shape``, uint8.

        Raises:
            ValueError: the number or size of the slices is not what :meth:`to_slices` made.
        """
        if slices.shape != (self.count, self.size, self.size):
            raise ValueError(f"expected slices of shape {(self.count, self.size, self.size)}, got {slices.shape}")
        boxed = resample(self._planes_of(slices).transpose(2, 1, 0), self.box_shape, labels=True)
        raw_shape = _oriented_shape(self.raw_shape, np.asarray(self.affine), self.orientation)
        oriented = np.zeros(raw_shape, dtype=np.uint8)
        oriented[tuple(slice(a, b) for a, b in self.box)] = boxed
        return orient_back(oriented, np.asarray(self.affine), self.orientation)

    def _planes_of(self, slices: np.ndarray) -> np.ndarray:
        shape_x, shape_y, shape_z = self.resampled_shape
        if self.tiles is not None:
            parts = np.split(slices, shape_z)
            return np.stack([join(part, self.tiles, (shape_y, shape_x)) for part in parts])
        planes = np.zeros((shape_z, shape_y, shape_x), dtype=np.uint8)
        (dst_y, src_y), (dst_x, src_x) = (_centre(n, self.size) for n in (shape_y, shape_x))
        planes[:, src_y, src_x] = slices[:, dst_y, dst_x]
        return planes

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Geometry":
        """Inverse of :meth:`to_json` after a trip through JSON (lists for tuples)."""
        return cls(**{key: _tuples(value) for key, value in data.items()})


def orient(array: np.ndarray, affine: np.ndarray, orientation: Orientation) -> np.ndarray:
    """Permute and flip the axes of a raw array to the closest RAS order, or leave it."""
    if orientation == "native":
        return array
    from nibabel.orientations import apply_orientation, io_orientation

    return apply_orientation(array, io_orientation(affine))


def orient_back(array: np.ndarray, affine: np.ndarray, orientation: Orientation) -> np.ndarray:
    """Inverse of :func:`orient` for an array in the oriented order."""
    if orientation == "native":
        return array
    from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform

    return apply_orientation(array, ornt_transform(axcodes2ornt("RAS"), io_orientation(affine)))


def as_picture(plane: np.ndarray, orientation: Orientation) -> np.ndarray:
    """Turn a slice (row, column) = (y, x) so that its first row is the top of the picture.

    After reorientation y points to the front of the patient, which belongs on top; stored rows run downwards already.
    """
    return plane[::-1] if orientation == "RAS" else plane


def oriented_spacing(affine: np.ndarray, orientation: Orientation) -> tuple[float, float, float]:
    """Voxel size in mm along the axes of the oriented array."""
    from nibabel.affines import voxel_sizes

    sizes = voxel_sizes(affine)
    if orientation == "native":
        return tuple(sizes.tolist())
    from nibabel.orientations import io_orientation

    order = io_orientation(affine)[:, 0].astype(int)
    spacing = np.empty(3)
    spacing[order] = sizes
    x, y, z = spacing.tolist()
    return x, y, z


def foreground(image: np.ndarray) -> np.ndarray:
    """What lies above a tenth of the way from the 0.5 to the 99.5 percentile of an image, of its shape, bool.

    Air, padding and the noise floor of a magnitude image stay out, in arbitrary units as in Hounsfield units.
    """
    low, high = np.percentile(image, (0.5, 99.5))
    found: np.ndarray = image > low + 0.1 * (high - low)
    return found


def foreground_box(image: np.ndarray) -> Box:
    """Smallest box that holds the foreground of an oriented image, per axis.

    An axis position counts when at least one percent of its plane is foreground, so that a hot pixel does not hold a
    margin open.
    """
    seen = foreground(image)
    box = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        kept = np.flatnonzero(seen.mean(axis=others) >= 0.01)
        box.append((int(kept[0]), int(kept[-1]) + 1) if kept.size else (0, image.shape[axis]))
    return tuple(box)  # type: ignore[return-value]


def resample(array: np.ndarray, shape: tuple[int, int, int], *, labels: bool) -> np.ndarray:
    """Resample (x, y, z) to ``shape`` with the same extent in mm (voxel edges aligned).

    In plane, images use cubic B-splines slice by slice; across slices, which lie 5 to 10 mm apart in much of the data,
    interpolation is linear, so that a bright organ does not ring into its neighbours. Labels use SimpleITK's label
    interpolation (linear per class, largest wins).

    Along axes that become shorter by more than a quarter, images pass a Gaussian first that is as wide as the new
    voxels, and labels come from :func:`reduced_labels`: what is finer than the new voxels neither turns into noise nor
    disappears.

    Returns:
        float32, or uint8 for labels.
    """
    array = array.astype(np.uint8 if labels else np.float32, copy=False)
    if array.shape == tuple(shape):
        return array
    import SimpleITK

    ratios = [old / new for old, new in zip(array.shape, shape, strict=True)]
    if labels:
        less = tuple(new if r > _SMALLER else old for r, old, new in zip(ratios, array.shape, shape, strict=True))
        array = reduced_labels(array, less)
        return array if less == tuple(shape) else _sitk_resample(array, shape, SimpleITK.sitkLabelLinear)
    if max(ratios) > _SMALLER:
        from scipy.ndimage import gaussian_filter

        # A box of r voxels has this deviation more than a box of one.
        widths = [((r**2 - 1) / 12) ** 0.5 if r > _SMALLER else 0 for r in ratios]
        array = gaussian_filter(array, widths, mode="nearest")
    if array.shape[:2] != tuple(shape[:2]):
        planes = [_sitk_resample(array[:, :, z], shape[:2], SimpleITK.sitkBSpline3) for z in range(array.shape[2])]
        array = np.stack(planes, axis=-1)
    return array if array.shape[2] == shape[2] else _sitk_resample(array, shape, SimpleITK.sitkLinear)


def reduced_labels(labels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Labels (x, y, z) uint8 on fewer, larger voxels, so that they come back with the highest Dice.

    A class has a share of each large voxel. If the k voxels with its largest shares are given to it, and enlarged
    again, their Dice with what was is 2 (sum of these shares) / (k + sum of all shares); the k with the highest is
    taken. A structure of less than half a voxel stays, where giving it up would cost more than what it grows by.
    """
    if labels.shape == shape:
        return labels
    best = np.zeros(shape)
    found = np.zeros(shape, np.uint8)
    for label in np.unique(labels[labels > 0]).tolist():
        share = (labels == label).astype(np.float64)
        for axis, length in enumerate(shape):
            share = _area_means(share, axis, length)
        ordered = np.sort(share, axis=None)[::-1]
        dice = 2 * np.cumsum(ordered) / (np.arange(1, ordered.size + 1) + ordered.sum())
        taken = (share >= ordered[int(dice.argmax())]) & (share > best)
        found[taken], best[taken] = label, share[taken]
    return found


def _area_means(values: np.ndarray, axis: int, length: int) -> np.ndarray:
    """Means over ``length`` equal parts of an axis, whose edges may cut voxels."""
    old = values.shape[axis]
    if old == length:
        return values
    moved = np.moveaxis(values, axis, 0)
    sums = np.concatenate([np.zeros_like(moved[:1]), np.cumsum(moved, axis=0)])
    edges = np.arange(length + 1) * old / length
    whole = np.minimum(edges.astype(int), old - 1)
    rest = (edges - whole).reshape(-1, *[1] * (moved.ndim - 1))
    at_edges = sums[whole] + rest * moved[whole]
    return np.moveaxis(np.diff(at_edges, axis=0) * (length / old), 0, axis)


def _sitk_resample(array: np.ndarray, shape: tuple[int, ...], interpolator: int) -> np.ndarray:
    import SimpleITK

    # Index space with unit voxels: millimetres cancel out, and odd direction cosines never reach SimpleITK.
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(array.T))
    step = [n / m for n, m in zip(array.shape, shape, strict=True)]
    resampler = SimpleITK.ResampleImageFilter()
    resampler.SetSize([int(n) for n in shape])
    resampler.SetOutputSpacing(step)
    resampler.SetOutputOrigin([0.5 * s - 0.5 for s in step])
    resampler.SetInterpolator(interpolator)
    # Voxel edges aligned means that the outermost centres may lie just outside the old ones.
    resampler.UseNearestNeighborExtrapolatorOn()
    resampler.SetNumberOfThreads(1)
    return SimpleITK.GetArrayFromImage(resampler.Execute(image)).T


def _same(old: float, new: float) -> bool:
    return abs(old - new) <= _SAME_SPACING * new


def _centre(length: int, size: int) -> tuple[slice, slice]:
    """Where a centred line of ``length`` lies in one of ``size`` (destination), and which part of it fits (source)."""
    kept = min(length, size)
    start, first = (size - kept) // 2, (length - kept) // 2
    return slice(start, start + kept), slice(first, first + kept)


def _oriented_shape(shape: tuple[int, ...], affine: np.ndarray, orientation: Orientation) -> tuple[int, ...]:
    return orient(np.broadcast_to(np.uint8(0), shape), affine, orientation).shape


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
