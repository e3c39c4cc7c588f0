"""Raw images: where they lie, and how they are read with every check that a later step relies on.

Arrays are indexed (x, y, z) as in NIfTI; affines map these indices to millimetres.
"""

import gzip
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from fedfactory.errors import FedFactoryError

# Tools round affines differently: two grids are the same if no corner moves by more than a tenth of a voxel.
_SAME_GRID = 0.1
# Voxels of microscopes and of nonsense: outside of this, in mm, a header is wrong.
_PLAUSIBLE_VOXEL_MM = (1e-3, 1e2)
# Labels that went through floating point come back as 0.9999.
_LABEL_ROUNDING = 1e-3


class Source(Protocol):
    """Something that yields a 3D array and its affine."""

    @property
    def path(self) -> Path:
        """The file to name in a message."""
        ...

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files that it reads."""
        ...

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Return an array (x, y, z) and an affine (4, 4)."""
        ...

    def header(self) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Return shape (x, y, z) and voxel size in mm without reading voxels."""
        ...


@dataclass(frozen=True)
class NiftiSource:
    """A NIfTI file; ``frame`` selects one time point (0-based) of a 4D file."""

    path: Path
    frame: int | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """The one file."""
        return (self.path,)

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Read with nibabel, which accepts the non-orthonormal direction cosines that SimpleITK refuses."""
        with _readable(self.path):
            _check_gzip(self.path)
            image = self._open()
            data = np.asanyarray(image.dataobj if self.frame is None else image.dataobj[..., self.frame])
        if data.ndim == 4 and data.shape[3] == 1:
            data = data[..., 0]
        if data.ndim == 2:
            data = data[..., None]
        if data.ndim != 3 or data.size == 0:
            raise FedFactoryError(f"{self.path}: has shape {image.shape}; a 3D volume is needed")
        if data.dtype.kind not in "biuf":
            raise FedFactoryError(f"{self.path}: holds {data.dtype} voxels; store one real number per voxel")
        return data, _checked_affine(image.affine, self.path)

    def header(self) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Read the header only; voxels may still be damaged."""
        from nibabel.affines import voxel_sizes

        with _readable(self.path):
            image = self._open()
            if self.frame is not None and (len(image.shape) < 4 or self.frame >= image.shape[3]):
                raise IndexError(f"it has the shape {image.shape}, and frame {self.frame} is asked for")
        return tuple(image.shape[:3]), tuple(voxel_sizes(_checked_affine(image.affine, self.path)).tolist())

    def _open(self) -> Any:
        import nibabel

        return nibabel.load(self.path)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what reading a NIfTI file may raise into a sentence."""
    from nibabel.filebasedimages import ImageFileError

    try:
        yield
    except PermissionError as error:
        raise FedFactoryError(f"{path}: may not be read; correct its permissions") from error
    except (OSError, EOFError, ValueError, zlib.error, gzip.BadGzipFile, IndexError) as error:
        raise FedFactoryError(f"{path}: cannot be read ({error}); copy or download the file again") from error
    except ImageFileError as error:
        raise FedFactoryError(f"{path}: is no NIfTI file ({error}); copy or download it again") from error


def _checked_affine(affine: np.ndarray | None, path: Path) -> np.ndarray:
    from nibabel.affines import voxel_sizes

    affine = np.asarray(np.eye(4) if affine is None else affine, dtype=np.float64)
    low, high = _PLAUSIBLE_VOXEL_MM
    sizes = voxel_sizes(affine)
    usable = np.isfinite(affine).all() and ((low <= sizes) & (sizes <= high)).all()
    if not usable or abs(np.linalg.det(affine[:3, :3])) < 1e-3 * sizes.prod():
        shown = ", ".join(f"{size:g}" for size in sizes)
        raise FedFactoryError(f"{path}: its affine is not usable (voxel size {shown} mm); correct the header")
    return affine


def same_grid(affine: np.ndarray, other: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether two affines put the corners of a volume at the same place, to a tenth of a voxel."""
    from nibabel.affines import voxel_sizes

    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape], [1], indexing="ij")).reshape(4, -1)
    moved = np.sqrt((((affine - other) @ corners)[:3] ** 2).sum(axis=0))
    return bool(moved.max() <= _SAME_GRID * voxel_sizes(affine).min())


def _check_gzip(path: Path) -> None:
    """Read a compressed file to its end, where its checksum stands: voxels alone end before it and may be damaged."""
    if path.suffix == ".gz":
        with gzip.open(path) as file:
            while file.read(1 << 24):
                pass


@dataclass(frozen=True)
class BitmapSource:
    """Bitmaps of one matrix, stacked along z; the first row of a bitmap is the top of the image (largest y)."""

    paths: tuple[Path, ...]
    field_of_view_mm: float

    @property
    def path(self) -> Path:
        """The first bitmap."""
        return self.paths[0]

    def read(self) -> tuple[np.ndarray, np.ndarray]:
        """Read with Pillow as grey values; pixels are square, projections lie one unit apart."""
        layers = []
        for path in self.paths:
            with _bitmap(path) as image:
                layers.append(np.asarray(image.convert("L"))[::-1].T)
        self._check_sizes([layer.shape for layer in layers])
        return np.stack(layers, axis=-1), np.diag([*self._spacing(layers[0].shape[0]), 1.0])

    def header(self) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Read the bitmaps' sizes only."""
        sizes = []
        for path in self.paths:
            with _bitmap(path) as image:
                sizes.append(image.size)
        self._check_sizes(sizes)
        return (*sizes[0], len(sizes)), self._spacing(sizes[0][0])

    def _spacing(self, pixels: int) -> tuple[float, float, float]:
        return self.field_of_view_mm / pixels, self.field_of_view_mm / pixels, 1.0

    def _check_sizes(self, sizes: list[tuple[int, ...]]) -> None:
        for path, size in zip(self.paths, sizes, strict=True):
            if size != sizes[0]:
                raise FedFactoryError(
                    f"{path}: is {size} pixels, {self.paths[0]} is {sizes[0]}; projections of one subject must agree"
                )


@contextmanager
def _bitmap(path: Path) -> Iterator[Any]:
    """Open a picture with Pillow."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            yield image
    except (OSError, UnidentifiedImageError) as error:
        raise FedFactoryError(f"{path}: cannot be read ({error}); copy or download the file again") from error


@dataclass(frozen=True)
class RawCase:
    """One volume of one subject, not read yet.

    Attributes:
        subject: the unit that splits and statistics keep together.
        name: unique within the client; letters, digits, ``_`` and ``-``.
        image: the image.
        label: its label map, or None for an unlabelled case.
        roi: a mask of the organ that comes with the image and is no truth of the task (a brain mask in vessel
            segmentation), or None.
        split: ``train``, ``validation`` or ``test`` where the data say so themselves, else None.
    """

    subject: str
    name: str
    image: Source
    label: Source | None = None
    roi: Source | None = None
    split: str | None = None


@dataclass(frozen=True)
class Problem:
    """What keeps a subject of a release from being used: an adapter yields it in place of a case.

    Attributes:
        sentence: which file, what is wrong, and what to do.
    """

    sentence: str


@dataclass(frozen=True)
class RawVolume:
    """One volume in memory.

    Attributes:
        image: (x, y, z) float32.
        affine: (4, 4), voxel indices to mm.
        label: (x, y, z) uint8, 0 background and 1..C in the order of the setup's classes; None if unlabelled.
        roi: (x, y, z) bool or None.
    """

    image: np.ndarray
    affine: np.ndarray
    label: np.ndarray | None
    roi: np.ndarray | None


def read_case(case: RawCase, label_values: Mapping[int, int]) -> RawVolume:
    """Read a case and check it.

    Args:
        case: what to read.
        label_values: value in the raw label map -> value of the setup (1..C). 0 is background and need not be named.

    Raises:
        FedFactoryError: unreadable file, NaN or infinite voxels, constant image, image and label that disagree in
            shape or affine, a label value that ``label_values`` does not name, an empty label map.
    """
    image, affine = case.image.read()
    image = np.ascontiguousarray(image, dtype=np.float32)
    if not np.isfinite(image).all():
        count = int((~np.isfinite(image)).sum())
        raise FedFactoryError(f"{case.image.path}: {count} voxels are NaN or infinite; repair or remove the image")
    if image.min() == image.max():
        raise FedFactoryError(f"{case.image.path}: every voxel has the value {image.flat[0]}; remove the image")
    label = roi = None
    if case.label is not None:
        label = _map_labels(_read_beside(case.label, case.image, image.shape, affine), label_values, case.label.path)
    if case.roi is not None:
        roi = _read_beside(case.roi, case.image, image.shape, affine) > 0
        if not roi.any():
            raise FedFactoryError(f"{case.roi.path}: the mask is empty; correct or remove the file")
    return RawVolume(image, affine, label, roi)


def _read_beside(mask: Source, image: Source, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """Read a mask that must lie on the voxel grid of its image."""
    data, mask_affine = mask.read()
    if data.shape != shape:
        raise FedFactoryError(
            f"{mask.path}: shape {data.shape} differs from {shape} of {image.path}; resample the mask"
        )
    if not same_grid(affine, mask_affine, shape):
        raise FedFactoryError(f"{mask.path}: its affine differs from that of {image.path}; resample the mask")
    return data


def _map_labels(data: np.ndarray, label_values: Mapping[int, int], path: Path) -> np.ndarray:
    if data.dtype.kind == "f":
        rounded = np.rint(data)
        data = np.where(np.abs(data - rounded) <= _LABEL_ROUNDING, rounded, data)
    values = np.unique(data)
    unknown = [value for value in values.tolist() if value != 0 and value not in label_values]
    if unknown:
        known = ", ".join(str(value) for value in sorted(label_values))
        raise FedFactoryError(
            f"{path}: label value {unknown[0]!r} is unknown to the setup (known: 0, {known}); correct the file or the "
            "client's 'labels' in the setup's file"
        )
    label = np.zeros(data.shape, dtype=np.uint8)
    for raw_value, value in label_values.items():
        label[data == raw_value] = value
    if not label.any():
        raise FedFactoryError(f"{path}: the label map is empty; correct it, or list the image as unlabelled")
    return label
