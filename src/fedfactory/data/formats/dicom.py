"""DICOM, by SimpleITK's GDCM: a folder is a series, a file a slice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fedfactory.data.formats import Header, ImageFile, check_place, checked, is_leftover, kind_of, readable
from fedfactory.data.formats.itk import opened
from fedfactory.errors import FedFactoryError

_POSITION, _ORIENTATION, _SPACING = "0020|0032", "0020|0037", "0028|0030"
_THICKNESS, _SERIES = "0018|0050", "0020|000e"
_MARK_AT, _MARK = 128, b"DICM"
_DIRECTORY = "DICOMDIR"
# By how much directions and spacings of the slices of one series may differ.
_SAME = 1e-4
# Share of a step by which slices may lie elsewhere than evenly.
_EVEN = 0.05


def header(file: ImageFile) -> Header:
    """Shape and affine, from the positions of all slices, which must be even."""
    slices = _slices(file)
    columns, rows = slices[0][2].GetSize()[:2]
    file.check_size((columns, rows, len(slices)))
    return Header((columns, rows, len(slices)), checked(_affine(file, [reader for *_, reader in slices]), file.path))


def read(file: ImageFile) -> np.ndarray:
    """The voxels, in the order of the slices' positions, rescaled as the files say."""
    import SimpleITK

    planes = [SimpleITK.GetArrayFromImage(reader.Execute()) for *_, reader in _slices(file)]
    return np.stack([plane.reshape(plane.shape[-2:]).T for plane in planes], axis=-1)


def slice_files(file: ImageFile) -> list[Path]:
    """Files of a series, a slice each, in the order of the array's last axis."""
    return [path for _, path, _ in _slices(file)]


def is_series(folder: Path) -> bool:
    """Whether one of a folder's files is a DICOM file, by its ending or by the mark behind its first 128 bytes."""
    return any(_is_dicom(path) for path in sorted(folder.iterdir()) if not is_leftover(path.name) and path.is_file())


def _is_dicom(path: Path) -> bool:
    if kind := kind_of(path.name):
        return kind == "dicom"
    with readable(path), path.open("rb") as stream:
        return stream.read(_MARK_AT + len(_MARK))[_MARK_AT:] == _MARK


def series_of(path: Path) -> str:
    """UID of the series that a file is a slice of; empty where it does not say."""
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(str(path))
    with readable(path):
        reader.ReadImageInformation()
        uid: str = reader.GetMetaData(_SERIES) if reader.HasMetaDataKey(_SERIES) else ""
    return uid.strip()


def series_files(folder: Path) -> list[Path]:
    """Files of the one series of a folder.

    Raises:
        FedFactoryError: it holds none, or several, which are named; or beside them what may be a slice as well.
    """
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    found = SimpleITK.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
    if not found:
        raise FedFactoryError(f"{folder}: holds no DICOM series; name the folder whose files are one")
    if len(found) > 1:
        raise FedFactoryError(
            f"{folder}: holds {len(found)} DICOM series ({', '.join(found)}); put each into a folder of its own"
        )
    files = [Path(name) for name in SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), found[0])]
    endings = {path.suffix.lower() for path in files}
    others = [
        path
        for path in sorted(set(folder.iterdir()) - set(files))
        if not is_leftover(path.name) and path.name != _DIRECTORY and (path.suffix.lower() in endings or path.is_dir())
    ]
    for path in others:
        check_place(path)
    if others:
        raise FedFactoryError(
            f"{others[0]}: lies among the slices of a series and is none that can be read; copy it again, or put it "
            "elsewhere"
        )
    return files


def _slices(file: ImageFile) -> list[tuple[float, Path, Any]]:
    """Position along the normal, file and reader of every slice, in ascending order."""
    paths = series_files(file.path) if file.path.is_dir() else [file.path]
    found: list[tuple[float, Path, Any]] = []
    for path in paths:
        reader = opened(ImageFile(path, frame=file.frame, largest=file.largest))
        if len(reader.GetSize()) > 2 and reader.GetSize()[2] > 1:
            raise FedFactoryError(f"{path}: holds several frames; convert it to files of one frame, or to NIfTI")
        first = found[0][2] if found else reader
        if reader.GetSize()[:2] != first.GetSize()[:2] or not all(
            np.allclose(_numbers(reader, tag, count, path), _numbers(first, tag, count, path), rtol=0, atol=_SAME)
            for tag, count in ((_ORIENTATION, 6), (_SPACING, 2))
        ):
            raise FedFactoryError(
                f"{path}: is of another size, direction or spacing than {paths[0].name}; a series has one: put "
                "localisers into another folder"
            )
        normal = _normal(reader, path)
        found.append((float(normal @ np.asarray(_numbers(reader, _POSITION, 3, path))), path, reader))
    return sorted(found, key=lambda slice_: slice_[0])


def _affine(file: ImageFile, readers: list[Any]) -> np.ndarray:
    """Built from the slices' own tags: ITK's step between slices is a thickness where there is one slice."""
    path = file.path
    orientation = np.asarray(_numbers(readers[0], _ORIENTATION, 6, path))
    down, across = _numbers(readers[0], _SPACING, 2, path)
    places = np.asarray([_numbers(reader, _POSITION, 3, path) for reader in readers])
    if len(readers) > 1:
        steps = np.diff(places, axis=0)
        step = (places[-1] - places[0]) / (len(readers) - 1)
        length = np.linalg.norm(step)
        if length == 0 or (np.linalg.norm(steps - step, axis=1) > _EVEN * length).any():
            gaps = np.linalg.norm(steps, axis=1)
            raise FedFactoryError(
                f"{path}: its slices lie {gaps.min():g} to {gaps.max():g} mm apart; a slice is missing, doubled or of "
                "another series: complete the folder, or resample the series"
            )
    else:
        step = _normal(readers[0], path) * (_numbers(readers[0], _THICKNESS, 1, path) or [1.0])[0]
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2], affine[:3, 3] = (
        orientation[:3] * across,
        orientation[3:] * down,
        step,
        places[0],
    )
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _normal(reader: Any, path: Path) -> np.ndarray:
    orientation = np.asarray(_numbers(reader, _ORIENTATION, 6, path))
    return np.cross(orientation[:3], orientation[3:])


def _numbers(reader: Any, tag: str, count: int, path: Path) -> list[float]:
    """Numbers of a tag.

    Raises:
        FedFactoryError: the tag that places a slice is not there, or holds no such numbers.
    """
    text = reader.GetMetaData(tag) if reader.HasMetaDataKey(tag) else ""
    if not text.strip() and tag == _THICKNESS:
        return []
    try:
        values = [float(part) for part in text.split("\\")]
    except ValueError:
        values = []
    if len(values) != count or not np.isfinite(values).all():
        raise FedFactoryError(
            f"{path}: its DICOM tag ({tag.replace('|', ',')}) is '{text.strip()}', and {count} numbers are needed to "
            "place the slice; export the series again"
        )
    return values
