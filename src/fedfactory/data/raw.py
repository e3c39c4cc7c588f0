"""Raw cases: an image with its masks, and every check that a later step relies on.

Whoever looks at raw data, ``fedfactory check-data`` or the job that prepares them, does it by the two functions here:
:func:`check_headers`, which reads no voxel, and :func:`read_case`, which begins with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from fedfactory.data.formats import Header
from fedfactory.errors import FedFactoryError

# Tools round affines differently: two grids are the same if no corner moves by more than a tenth of a voxel.
_SAME_GRID = 0.1
# Values of a mask of the organ or of the field of view, which may number its parts.
_MOST_OF_A_MASK = 16
# Labels that went through floating point come back as 0.9999.
_LABEL_ROUNDING = 1e-3
# Without these percentiles of its voxels an image whose contrast is gone has this share of its deviation, or less.
_EXTREMES, _HIDDEN = (0.1, 99.9), 0.05


class Source(Protocol):
    """Something that is an image: a file, a series, a stack of pictures."""

    @property
    def path(self) -> Path:
        """What to name in a message."""
        ...

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files that it reads."""
        ...

    def limited(self, largest: int) -> Self:
        """The same, whose files are refused if they claim more voxels than that."""
        ...

    def header(self) -> Header:
        """Shape (x, y, z) and affine, without a look at voxels."""
        ...

    def read(self) -> np.ndarray:
        """The voxels, (x, y, z)."""
        ...


@dataclass(frozen=True)
class _Parts:
    """Several sources that are read as one."""

    parts: tuple[Source, ...]

    @property
    def paths(self) -> tuple[Path, ...]:
        """All of them."""
        return tuple(path for part in self.parts for path in part.paths)

    def limited(self, largest: int) -> Self:
        """With the same limit for each."""
        return replace(self, parts=tuple(part.limited(largest) for part in self.parts))


@dataclass(frozen=True)
class Stack(_Parts):
    """Flat images of one matrix, one behind the other along z, a millimetre apart."""

    @property
    def path(self) -> Path:
        """The first one."""
        return self.parts[0].path

    def header(self) -> Header:
        """The first one's, as deep as there are parts.

        Raises:
            FedFactoryError: as the parts, and parts of different sizes.
        """
        headers = [part.header() for part in self.parts]
        first = headers[0]
        for part, header in zip(self.parts, headers, strict=True):
            if header.shape != first.shape or header.shape[2] != 1:
                raise FedFactoryError(
                    f"{part.path}: has the shape {header.shape}, {self.path} has {first.shape}; images of one stack "
                    "are flat, and of one size"
                )
        return Header((*first.shape[:2], len(headers)), first.affine)

    def read(self) -> np.ndarray:
        """All parts along z."""
        return np.concatenate([part.read() for part in self.parts], axis=2)


@dataclass(frozen=True)
class Union(_Parts):
    """Masks of one matrix, one for each object, that are read as one: 1 where any of them holds something."""

    @property
    def path(self) -> Path:
        """The folder of the masks."""
        return self.parts[0].path.parent

    def header(self) -> Header:
        """That of all of them.

        Raises:
            FedFactoryError: as the parts, and parts of different sizes.
        """
        first = self.parts[0].header()
        for part in self.parts[1:]:
            if part.header().shape != first.shape:
                raise FedFactoryError(
                    f"{part.path}: has the shape {part.header().shape}, {self.parts[0].path} has {first.shape}; masks "
                    "of one picture are of one size"
                )
        return first

    def read(self) -> np.ndarray:
        """Where any of them holds something."""
        found = self.parts[0].read() > 0
        for part in self.parts[1:]:
            found |= part.read() > 0
        return found.astype(np.uint8)


@dataclass(frozen=True)
class RawCase:
    """One volume of one subject, not read yet.

    Attributes:
        subject: the unit that splits and statistics keep together.
        name: unique within the client; letters, digits, ``_`` and ``-``.
        image: the image.
        label: its label map, or None for an unlabelled case.
        roi: a mask of the organ that comes with the image and is no truth of the task (a brain mask in vessel
            segmentation, the field of view of a fundus camera), or None.
        split: ``train``, ``validation`` or ``test`` where the data say so themselves, else None.
    """

    subject: str
    name: str
    image: Source
    label: Source | None = None
    roi: Source | None = None
    split: str | None = None

    @property
    def masks(self) -> tuple[Source, ...]:
        """Label and organ mask, as far as there are."""
        return tuple(mask for mask in (self.label, self.roi) if mask is not None)

    def limited(self, largest: int) -> Self:
        """The same case, whose files are refused if they claim more voxels than that."""
        label, roi = (mask and mask.limited(largest) for mask in (self.label, self.roi))
        return replace(self, image=self.image.limited(largest), label=label, roi=roi)


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


def check_headers(case: RawCase) -> Header:
    """The image's header, after a look at those of its masks: they must lie on its voxels.

    Raises:
        FedFactoryError: a file that cannot be read, or a mask of another shape or place than its image.
    """
    header = case.image.header()
    for mask in case.masks:
        own = mask.header()
        if own.shape != header.shape:
            raise FedFactoryError(
                f"{mask.path}: shape {own.shape} differs from {header.shape} of {case.image.path}; find out whether "
                "both belong together, and draw or resample the mask on the voxels of the image"
            )
        if not same_grid(header.affine, own.affine, header.shape):
            raise FedFactoryError(
                f"{mask.path}: its affine differs from that of {case.image.path}; if the mask was drawn on the voxels "
                "of this image, copy the image's header into it, and only if not, resample it"
            )
    return header


def read_case(case: RawCase, label_values: Mapping[int, int]) -> RawVolume:
    """Read a case and check it.

    Args:
        case: what to read.
        label_values: value in the raw label map -> value of the setup (1..C). 0 is background and need not be named.

    Raises:
        FedFactoryError: as :func:`check_headers`; NaN or infinite voxels, an image without contrast, a label value that
            ``label_values`` does not name, an empty mask.
    """
    affine = check_headers(case).affine
    image = np.ascontiguousarray(case.image.read(), dtype=np.float32)
    _check_values(image, case.image.path)
    label = roi = None
    if case.label is not None:
        label = _map_labels(case.label.read(), label_values, case.label.path)
    if case.roi is not None:
        mask = case.roi.read()
        if (count := len(np.unique(mask))) > _MOST_OF_A_MASK:
            raise FedFactoryError(
                f"{case.roi.path}: holds {count} values and is no mask; store it without loss, not as JPEG"
            )
        roi = mask > 0
        if not roi.any():
            raise FedFactoryError(f"{case.roi.path}: the mask is empty; correct or remove the file")
    return RawVolume(image, affine, label, roi)


def same_grid(affine: np.ndarray, other: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether two affines put the corners of a volume at the same place, to a tenth of a voxel."""
    from nibabel.affines import voxel_sizes

    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shape], [1], indexing="ij")).reshape(4, -1)
    moved = np.sqrt((((affine - other) @ corners)[:3] ** 2).sum(axis=0))
    return bool(moved.max() <= _SAME_GRID * voxel_sizes(affine).min())


def _check_values(image: np.ndarray, path: Path) -> None:
    """Refuse an image that shows nothing, or nothing beside a few voxels: statistics of it would say nothing."""
    if not np.isfinite(image).all():
        count = int((~np.isfinite(image)).sum())
        raise FedFactoryError(f"{path}: {count} voxels are NaN or infinite; repair or remove the image")
    if image.min() == image.max():
        raise FedFactoryError(f"{path}: every voxel has the value {image.flat[0]}; remove the image")
    low, high = np.percentile(image, _EXTREMES)
    whole = image.std(dtype=np.float64)
    if np.clip(image, low, high).std(dtype=np.float64) < _HIDDEN * whole:
        extreme = max((image.min(), image.max()), key=lambda value: abs(float(value) - float(low + high) / 2))
        raise FedFactoryError(
            f"{path}: a few voxels (up to {extreme:g}) are so far from all others ({low:g} to {high:g}) that beside "
            "them the image shows nothing; repair these voxels, or remove the image"
        )


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
