"""Image files: how each kind says what it holds, and how it is read.

A kind is a module of this package with two functions::

    def header(file: ImageFile) -> Header
    def read(file: ImageFile) -> np.ndarray

The header says shape and place without a look at the voxels; it is believed as a whole or refused. Arrays are indexed
(x, y, z) as in NIfTI; affines map these indices to millimetres, to the right, anterior and superior (RAS).
"""

from __future__ import annotations

import importlib
import locale
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from fedfactory.errors import FedFactoryError

LARGEST = 500_000_000
"""Voxels of a file that is read, where the configuration says nothing else (``data.largest_mvoxel``)."""
_KINDS = {
    "nifti": (".nii", ".nii.gz"),
    "itk": (".nrrd", ".nhdr", ".mha", ".mhd"),
    "dicom": (".dcm", ".ima"),
    "bitmap": (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif"),
}
ENDINGS = tuple(sorted((ending for own in _KINDS.values() for ending in own), key=len, reverse=True))
"""Of the files that can be read, in lower case, the longest first; a folder of DICOM files is a series."""
# Voxels of microscopes and of nonsense: outside of this, in mm, a header is wrong.
_PLAUSIBLE_VOXEL_MM = (1e-5, 1e2)
_APPLE_DOUBLE = "._"


@dataclass(frozen=True)
class Header:
    """What a file says of what it holds.

    Attributes:
        shape: (x, y, z), each at least 1.
        affine: (4, 4), voxel indices to mm.
    """

    shape: tuple[int, int, int]
    affine: np.ndarray

    @property
    def spacing(self) -> tuple[float, ...]:
        """Size of a voxel in mm along x, y and z."""
        return tuple(np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0)).tolist())


@dataclass(frozen=True)
class ImageFile:
    """A file, or a folder that holds one DICOM series, that is an image.

    Attributes:
        path: where it lies.
        frame: one time point (0-based) of a file that holds several; None for a file of one.
        channel: ``red``, ``green``, ``blue`` or ``grey`` (their luminance) of a colour picture.
        pixel_mm: edge of a pixel of a bitmap, whose file does not say it.
        width_mm: width of the whole bitmap, where that is what is known.
        largest: number of voxels above which the file is not read.
    """

    path: Path
    frame: int | None = None
    channel: str | None = None
    pixel_mm: float | None = None
    width_mm: float | None = None
    largest: int = LARGEST

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files that are read."""
        if self.path.is_dir():
            from fedfactory.data.formats.dicom import series_files

            with readable(self.path):
                return tuple(sorted(series_files(self.path)))
        from fedfactory.data.formats.itk import voxels_apart

        apart = voxels_apart(self.path)
        return (self.path,) if apart is None else (self.path, apart)

    def limited(self, largest: int) -> Self:
        """The same with another limit."""
        return replace(self, largest=largest)

    def header(self) -> Header:
        """Read what the file says of itself.

        Raises:
            FedFactoryError: a sentence that names the file, what is wrong with it, and what to do.
        """
        check_place(self.path)
        with readable(self.path):
            return self._kind().header(self)

    def read(self) -> np.ndarray:
        """Read an array (x, y, z), of the header's shape, of real numbers.

        Raises:
            FedFactoryError: as :meth:`header`.
        """
        header = self.header()
        with readable(self.path):
            data: np.ndarray = self._kind().read(self)
        if data.shape != header.shape:
            raise FedFactoryError(f"{self.path}: holds {data.shape} voxels, its header says {header.shape}")
        return data

    def _kind(self) -> Any:
        return importlib.import_module(f"{__name__}.{self.kind}")

    @property
    def kind(self) -> str:
        """Which module reads it: ``nifti``, ``itk``, ``dicom`` or ``bitmap``.

        Raises:
            FedFactoryError: none does.
        """
        if self.path.is_dir():
            return "dicom"
        if kind := kind_of(self.path.name):
            return kind
        raise FedFactoryError(
            f"{self.path}: files of this ending are not read; known are {', '.join(sorted(ENDINGS))}, and folders of "
            "DICOM files"
        )

    def check_size(self, shape: tuple[int, ...]) -> None:
        """Refuse a file before anything is made room for: it holds nothing, or more than is read.

        Args:
            shape: all axes that the file claims.
        """
        count = math.prod(shape)
        shown = " x ".join(map(str, shape))
        if count <= 0:
            raise FedFactoryError(f"{self.path}: its header claims {shown} voxels; correct or remove the file")
        if count > self.largest:
            raise FedFactoryError(
                f"{self.path}: its header claims {shown} voxels, more than {self.largest / 1e6:g} million; correct the "
                "file, or raise 'data.largest_mvoxel' in the run's configuration"
            )


def kind_of(name: str) -> str:
    """Which module reads a file of a name: ``nifti``, ``itk``, ``dicom`` or ``bitmap``; empty if none does."""
    ending = ending_of(name)
    return next((kind for kind, endings in _KINDS.items() if ending in endings), "")


def ending_of(name: str) -> str:
    """The known ending of a file's name, in lower case; empty where there is none."""
    return next((ending for ending in ENDINGS if name.lower().endswith(ending)), "")


def stem_of(name: str) -> str:
    """A file's name without its known ending."""
    return name[: len(name) - len(ending_of(name))]


def is_leftover(name: str) -> bool:
    """Whether a name is that of a hidden file: what macOS leaves beside every file begins with ``._``."""
    return name.startswith(".")


def checked(affine: np.ndarray, path: Path) -> np.ndarray:
    """An affine that can be used.

    Raises:
        FedFactoryError: numbers that are not finite, voxels of no plausible size, or axes that fall together.
    """
    affine = np.asarray(affine, dtype=np.float64)
    low, high = _PLAUSIBLE_VOXEL_MM
    sizes = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    usable = np.isfinite(affine).all() and ((low <= sizes) & (sizes <= high)).all()
    if not usable or abs(np.linalg.det(affine[:3, :3])) < 1e-3 * sizes.prod():
        shown = ", ".join(f"{size:g}" for size in sizes)
        raise FedFactoryError(f"{path}: its affine is not usable (voxel size {shown} mm); correct the header")
    return affine


def without_last_ones(shape: tuple[int, ...], path: Path) -> tuple[int, int, int]:
    """A shape as (x, y, z): without further axes of one, and with one slice where it is flat."""
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) == 2:
        shape = (*shape, 1)
    if len(shape) != 3:
        raise FedFactoryError(f"{path}: has the shape {shape}; a 2D or 3D image is needed")
    return shape


@contextmanager
def kept_locale() -> Iterator[None]:
    """Leave the block with the locale of before: SimpleITK's DICOM sets ``C``, and Python then writes ASCII only."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, before)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn whatever a library raises over a file into a sentence that names it."""
    try:
        with kept_locale():
            yield
    except FedFactoryError:
        raise
    except PermissionError as error:
        raise FedFactoryError(f"{error.filename or path}: may not be read; correct its permissions") from error
    except MemoryError as error:
        raise FedFactoryError(f"{path}: does not fit into memory; check its header, or give the job more") from error
    # Every parser has errors of its own.
    except Exception as error:
        reason = " ".join(str(error).split())[-200:] or type(error).__name__
        raise FedFactoryError(f"{path}: cannot be read ({reason}); copy or download the file again") from error


def check_place(path: Path) -> None:
    """Refuse what is no file with something in it, before a library waits for a pipe or reads a device.

    Raises:
        FedFactoryError: what lies there instead.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        what = f"is a link to {os.readlink(path)}, which is missing" if path.is_symlink() else "is missing"
        raise FedFactoryError(f"{path}: {what}; put the file there, or correct what names it") from None
    except PermissionError as error:
        raise FedFactoryError(f"{path}: may not be read; correct the permissions of its folder") from error
    except OSError as error:
        raise FedFactoryError(f"{path}: cannot be read ({error.strerror}); correct the link or the name") from error
    if not os.access(path, os.R_OK | (os.X_OK if stat.S_ISDIR(found.st_mode) else 0)):
        raise FedFactoryError(f"{path}: may not be read; correct its permissions")
    if stat.S_ISDIR(found.st_mode):
        return
    if not stat.S_ISREG(found.st_mode):
        raise FedFactoryError(f"{path}: is no regular file; put the image itself there")
    if path.name.startswith(_APPLE_DOUBLE):
        raise FedFactoryError(f"{path}: is what macOS leaves beside a file, no image; name the file itself")
    if not found.st_size:
        raise FedFactoryError(f"{path}: is empty; copy or download the file again")
