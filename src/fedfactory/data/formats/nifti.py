"""NIfTI, by nibabel: it accepts the non-orthonormal direction cosines that SimpleITK refuses."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np

from fedfactory.data.formats import Header, ImageFile, checked, without_last_ones
from fedfactory.errors import FedFactoryError

_UNITS_MM = {"unknown": 1.0, "mm": 1.0, "meter": 1000.0, "micron": 0.001}
# Beyond this share two sizes of a voxel contradict each other.
_SAME_SIZE = 0.01
# What may stand behind the voxels of a compressed file.
_BEHIND = 1 << 20


def header(file: ImageFile) -> Header:
    """Shape of the frame, and the affine that sform, qform, pixdim and units agree on."""
    image = _open(file)
    affine = np.diag([1.0, 1.0, 1.0, 1.0]) if image.affine is None else np.asarray(image.affine, dtype=np.float64)
    scaled = affine.copy()
    scaled[:3] *= _unit(image.header, file.path)
    found = Header(_shape(image, file), checked(scaled, file.path))
    _check_sizes(image.header, affine, file.path)
    return found


def read(file: ImageFile) -> np.ndarray:
    """The voxels of the frame, scaled as the header says."""
    image = _open(file)
    _check_length(image, file.path)
    data = np.asanyarray(image.dataobj if file.frame is None else image.dataobj[..., file.frame])
    return data.reshape(_shape(image, file))


def _open(file: ImageFile) -> Any:
    import nibabel

    # By its first number, not by its name: nibabel looks for `a.nii` where `a.NII` lies.
    with (gzip.open if _is_compressed(file.path) else open)(file.path, "rb") as stream:
        start = stream.read(4)
    kinds = {348: nibabel.Nifti1Image, 540: nibabel.Nifti2Image}
    found = next((kinds[n] for order in ("little", "big") if (n := int.from_bytes(start, order)) in kinds), None)
    if found is None:
        raise FedFactoryError(f"{file.path}: is no NIfTI file; copy or download it again")
    start_of_voxels = found.header_class.single_vox_offset
    image = found.from_file_map(found.make_file_map({"image": str(file.path)}))
    kind = image.get_data_dtype()
    file.check_size(image.shape)
    if image.dataobj.offset < start_of_voxels:
        raise FedFactoryError(f"{file.path}: its voxels are said to begin inside of its header; correct 'vox_offset'")
    if kind.kind not in "biuf":
        raise FedFactoryError(f"{file.path}: holds {kind} voxels; store one real number per voxel")
    return image


def _shape(image: Any, file: ImageFile) -> tuple[int, int, int]:
    shape = image.shape
    if file.frame is None:
        return without_last_ones(shape, file.path)
    if len(shape) != 4 or file.frame >= shape[3]:
        raise FedFactoryError(
            f"{file.path}: has the shape {shape}, and its frame {file.frame} is asked for (the first is 0); put the "
            "file with all frames there, or correct the table that names the frame"
        )
    return without_last_ones(shape[:3], file.path)


def _check_sizes(head: Any, affine: np.ndarray, path: Path) -> None:
    """Refuse a header that gives two sizes or directions of its voxels."""
    from nibabel.orientations import io_orientation

    zooms = [abs(float(size)) for size in head["pixdim"][1:4]]
    flat = int(head["dim"][0])
    sizes = np.sqrt((affine[:3, :3] ** 2).sum(axis=0))
    if any(abs(zoom - size) > _SAME_SIZE * size for zoom, size in list(zip(zooms, sizes, strict=True))[:flat]):
        shown, other = (" x ".join(f"{size:g}" for size in own) for own in (zooms, sizes))
        raise FedFactoryError(
            f"{path}: its header says {shown} mm a voxel (pixdim) and {other} mm (sform); find out which is true, and "
            "correct the other"
        )
    (qform, qcode), (sform, scode) = head.get_qform(coded=True), head.get_sform(coded=True)
    if qcode and scode and (io_orientation(qform) != io_orientation(sform)).any():
        raise FedFactoryError(
            f"{path}: its qform and its sform turn the image in two ways; find out which is true, and correct the other"
        )


def _unit(head: Any, path: Path) -> float:
    try:
        return _UNITS_MM[head.get_xyzt_units()[0]]
    except KeyError:
        raise FedFactoryError(
            f"{path}: its header gives lengths in an unknown unit (xyzt_units {int(head['xyzt_units'])}); set it to mm"
        ) from None


def _check_length(image: Any, path: Path) -> None:
    """Read a compressed file to its end, where its checksum stands; and refuse one that holds more than it says."""
    if not _is_compressed(path):
        return
    said = int(image.dataobj.offset) + math.prod(image.shape) * image.get_data_dtype().itemsize
    count = 0
    with gzip.open(path) as file:
        while part := file.read(1 << 24):
            count += len(part)
            if count > said + _BEHIND:
                raise FedFactoryError(f"{path}: holds more bytes than its header says ({said}); copy the file again")


def _is_compressed(path: Path) -> bool:
    return path.name.lower().endswith(".gz")
