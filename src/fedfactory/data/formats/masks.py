"""Masks in the format of the image that they belong to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fedfactory.data.formats import ImageFile, ending_of
from fedfactory.data.formats.dicom import slice_files
from fedfactory.data.formats.itk import unit_mm
from fedfactory.errors import FedFactoryError

# Pixels that a format changes are no labels any more.
_LOSSY = {".jpg": ".png", ".jpeg": ".png", ".gif": ".png"}
_MAKER = "FedFactory"
# SNOMED CT: what a segment is, where nobody says more.
_STRUCTURE = ("91723000", "SCT", "Anatomical structure")


def write_mask(mask: np.ndarray, image: ImageFile, folder: Path, name: str, classes: Mapping[int, str]) -> Path:
    """Write a mask for an image, in the image's format and place.

    Args:
        mask: (x, y, z) uint8, values as in the raw label maps.
        image: what it was made for; DICOM gets a DICOM segmentation, JPEG and GIF a PNG.
        folder: of the mask.
        name: of the file, without its ending.
        classes: value -> name of a class.

    Returns:
        The file.

    Raises:
        FedFactoryError: the image lacks something that its format asks of a mask's.
    """
    write: Callable[..., None] = {"nifti": _nifti, "itk": _itk, "dicom": _dicom, "bitmap": _bitmap}[image.kind]
    ending = ".dcm" if image.kind == "dicom" else ending_of(image.path.name)
    ending = {".nhdr": ".nrrd", ".mhd": ".mha", **_LOSSY}.get(ending, ending)
    out = folder / f"{name}{ending}"
    try:
        write(mask, image, out, classes)
    except (ValueError, AttributeError, TypeError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise FedFactoryError(f"{image.path}: a mask cannot be written in its format ({reason})") from error
    return out


def _nifti(mask: np.ndarray, image: ImageFile, out: Path, _: Mapping[int, str]) -> None:
    import nibabel

    nibabel.save(nibabel.Nifti1Image(mask, image.header().affine), out)


def _itk(mask: np.ndarray, image: ImageFile, out: Path, _: Mapping[int, str]) -> None:
    import SimpleITK

    whole = SimpleITK.ReadImage(str(image.path))
    shape = whole.GetSize()
    written = SimpleITK.GetImageFromArray(np.ascontiguousarray(mask.reshape(shape).T))
    written.CopyInformation(whole)
    # The unit of the image's lengths is a field of its file that is not written again.
    unit = unit_mm(image.path)
    written.SetSpacing([unit * length for length in whole.GetSpacing()])
    written.SetOrigin([unit * length for length in whole.GetOrigin()])
    SimpleITK.WriteImage(written, str(out), True)


def _bitmap(mask: np.ndarray, image: ImageFile, out: Path, _: Mapping[int, str]) -> None:
    from PIL import Image

    Image.fromarray(np.ascontiguousarray(mask[..., 0].T[::-1])).save(out)


def _dicom(mask: np.ndarray, image: ImageFile, out: Path, classes: Mapping[int, str]) -> None:
    """A binary DICOM segmentation of the series, a segment for each class."""
    from highdicom import UID, AlgorithmIdentificationSequence
    from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
    from highdicom.sr import CodedConcept
    from pydicom import dcmread

    sources = [dcmread(path) for path in slice_files(image)]
    algorithm = AlgorithmIdentificationSequence(
        name=_MAKER, family=CodedConcept("123109", "DCM", "Artificial Intelligence"), version="1"
    )
    segments = [
        SegmentDescription(
            segment_number=number,
            segment_label=label,
            segmented_property_category=CodedConcept(*_STRUCTURE),
            segmented_property_type=CodedConcept(*_STRUCTURE),
            algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
            algorithm_identification=algorithm,
        )
        for number, label in enumerate(classes.values(), start=1)
    ]
    planes: Any = np.stack([mask == value for value in classes], axis=-1).transpose(2, 1, 0, 3)
    Segmentation(
        source_images=sources,
        pixel_array=planes.astype(np.uint8),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=segments,
        series_instance_uid=UID(),
        series_number=900,
        sop_instance_uid=UID(),
        instance_number=1,
        manufacturer=_MAKER,
        manufacturer_model_name=_MAKER,
        software_versions="1",
        device_serial_number="1",
        omit_empty_frames=False,
    ).save_as(out)
