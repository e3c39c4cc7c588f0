"""NRRD and MetaImage, by SimpleITK."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fedfactory.data.formats import Header, ImageFile, checked, without_last_ones
from fedfactory.errors import FedFactoryError

# Of headers whose voxels lie in another file: the line that names it.
_APART = {".mhd": rb"^ElementDataFile\s*=\s*(.*)$", ".nhdr": rb"^data ?file:\s*(.*)$"}
_HEAD_BYTES = 1 << 16
_NRRD = (".nrrd", ".nhdr")
_MM = {"": 1.0, "?": 1.0, "mm": 1.0, "cm": 10.0, "m": 1000.0, "um": 0.001, "µm": 0.001, "micron": 0.001}
# Spaces of NRRD of which ITK turns one into the other; others it takes for the first.
_SPACES = ("left-posterior-superior", "right-anterior-superior", "left-anterior-superior", "lps", "ras", "las")
# Zlib's or gzip's, whichever it is; both end with a checksum.
_ANY_DEFLATED = 47


def header(file: ImageFile) -> Header:
    """Shape and affine."""
    reader = opened(file)
    affine = affine_of(reader)
    affine[:3] *= unit_mm(file.path)
    return Header(without_last_ones(_shape(reader), file.path), checked(affine, file.path))


def read(file: ImageFile) -> np.ndarray:
    """The voxels."""
    import SimpleITK

    image = opened(file).Execute()
    voxels: np.ndarray = SimpleITK.GetArrayFromImage(image).T.reshape(header(file).shape)
    _check_compressed(file.path, voxels.size * image.GetSizeOfPixelComponent())
    return voxels


def _fields(path: Path) -> tuple[dict[str, str], int]:
    """Fields of a header, names in lower case, and the byte behind it.

    Raises:
        FedFactoryError: ITK would pass over what a field says.
    """
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    nrrd = path.suffix.lower() in _NRRD
    ends = re.search(rb"\r?\n\r?\n" if nrrd else rb"^ElementDataFile\s*=.*\n?", head, re.M)
    end = ends.end() if ends else len(head)
    lines = head[:end].decode("utf-8", "replace").splitlines()
    pairs = (line.partition(":" if nrrd else "=") for line in lines if not line.startswith("#") and ":=" not in line)
    fields = {name.strip().lower(): value.strip() for name, sign, value in pairs if sign}
    _check_fields(fields, path)
    return fields, end


def _check_fields(fields: Mapping[str, str], path: Path) -> None:
    for name, plain in (("elementtointensityfunctionslope", 1.0), ("elementtointensityfunctionoffset", 0.0)):
        if name in fields and float(fields[name]) != plain:
            raise FedFactoryError(f"{path}: scales its values by {name} {fields[name]}; store the values themselves")
    directions, space = fields.get("space directions", ""), fields.get("space", "").lower()
    if (space or directions) and space not in _SPACES:
        raise FedFactoryError(
            f"{path}: its space is '{space}', which does not say where right, front and top are; write it as "
            f"{_SPACES[0]}"
        )
    unknown = "none" in directions or "nan" in fields.get("spacings", "").lower()
    if unknown or fields.keys() & {"axis mins", "axis maxs"}:
        raise FedFactoryError(
            f"{path}: its header does not say how large its voxels are along every axis; give it 'space directions'"
        )


def unit_mm(path: Path) -> float:
    """Millimetres of the unit of a file's lengths.

    Raises:
        FedFactoryError: a unit that is none, or another one along every axis.
    """
    fields, _ = _fields(path)
    said = fields.get("space units") or fields.get("units") or f'"{fields.get("distanceunits", "")}"'
    units = {unit.strip().lower() for unit in re.findall('"([^"]*)"', said)[:3]}
    if len(units) != 1 or not units <= _MM.keys():
        raise FedFactoryError(f"{path}: its header gives lengths in {said}; set them to mm")
    return _MM[units.pop()]


def _check_compressed(path: Path, said: int) -> None:
    """Read compressed voxels to their end, where their checksum stands, which ITK does not look at."""
    fields, start = _fields(path)
    if fields.get("compresseddata", "").lower() != "true" and fields.get("encoding", "") not in ("gzip", "gz"):
        return
    apart = voxels_apart(path)
    count, inflate = 0, zlib.decompressobj(_ANY_DEFLATED)
    with (apart or path).open("rb") as stream:
        stream.seek(0 if apart else start)
        while not inflate.eof and count <= said and (part := inflate.unconsumed_tail or stream.read(1 << 20)):
            count += len(inflate.decompress(part, 1 << 24))
    if count != said or not inflate.eof:
        raise FedFactoryError(f"{path}: holds not the {said} bytes of voxels that its header says; copy the file again")


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
