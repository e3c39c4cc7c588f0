"""NRRD and MetaImage, by SimpleITK."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from fedfactory.data.formats import Header, ImageFile, checked, without_last_ones
from fedfactory.errors import FedFactoryError

# Of headers whose voxels lie in another file: the line that names it.
_APART = {".mhd": rb"^ElementDataFile\s*=\s*(.*)$", ".nhdr": rb"^data ?file:\s*(.*)$"}
_HEAD_BYTES = 1 << 16


def header(file: ImageFile) -> Header:
    """Shape and affine."""
    reader = opened(file)
    return Header(without_last_ones(_shape(reader), file.path), checked(affine_of(reader), file.path))


def read(file: ImageFile) -> np.ndarray:
    """The voxels."""
    import SimpleITK

    return SimpleITK.GetArrayFromImage(opened(file).Execute()).T.reshape(header(file).shape)


def opened(file: ImageFile) -> Any:
    """A reader that has read the header, and found one number in every voxel."""
    import SimpleITK

    voxels_apart(file.path)
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(file.path))
    reader.ReadImageInformation()
    file.check_size(_shape(reader))
    if file.frame is not None:
        raise FedFactoryError(f"{file.path}: frames are read from NIfTI only; convert the file, or split it by frames")
    if reader.GetNumberOfComponents() > 1:
        raise FedFactoryError(
            f"{file.path}: holds {reader.GetNumberOfComponents()} channels; store the one that is to be read in a file "
            "of its own"
        )
    return reader


def voxels_apart(path: Path) -> Path | None:
    """The file beside a header that holds its voxels; None where they are in the file itself.

    Raises:
        FedFactoryError: the header names none beside it.
    """
    line = _APART.get(path.suffix.lower())
    if line is None or not path.is_file():
        return None
    with path.open("rb") as stream:
        named = re.search(line, stream.read(_HEAD_BYTES), re.M | re.I)
    name = named.group(1).strip().decode("utf-8", "surrogateescape") if named else ""
    if not name or name != Path(name).name or name in (".", "LIST") or "%" in name:
        raise FedFactoryError(f"{path}: names '{name}' for its voxels; name one file beside it")
    return None if name == "LOCAL" else path.with_name(name)


def affine_of(reader: Any) -> np.ndarray:
    """Voxel indices to mm, to the right, anterior and superior; ITK's axes run to the left and to the back."""
    count = len(reader.GetSize())
    affine = np.eye(4)
    rotation = np.asarray(reader.GetDirection()).reshape(count, count)
    known = min(count, 3)
    affine[:known, :known] = rotation[:known, :known] * np.asarray(reader.GetSpacing())[:known]
    affine[:known, 3] = np.asarray(reader.GetOrigin())[:known]
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _shape(reader: Any) -> tuple[int, ...]:
    return tuple(int(length) for length in reader.GetSize())
