"""Truth and predictions of one test case, checked to lie on one grid."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from fedfactory.data.formats import ImageFile
from fedfactory.data.geometry import Orientation, as_picture, orient, oriented_spacing
from fedfactory.data.raw import same_grid
from fedfactory.errors import FedFactoryError


@dataclass(frozen=True)
class Stack:
    """A case as pictures, top row first: arrays (slices, height, width).

    Attributes:
        image: as in the raw file.
        truth: labels.
        predictions: method -> labels.
        aspect: height of a pixel divided by its width.
    """

    image: np.ndarray
    truth: np.ndarray
    predictions: Mapping[str, np.ndarray]
    aspect: float


def load_pair(truth: Path, prediction: Path, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of both, and the affine that they share.

    Args:
        truth: label map of a test case, as the preparation keeps it.
        prediction: NIfTI file with labels.
        classes: number of classes of the setup.

    Raises:
        FedFactoryError: the prediction is missing, cannot be read, is not in the geometry of its image, or holds values
            other than 0 to ``classes``.
    """
    if not truth.is_file():
        raise FedFactoryError(f"{truth} is missing; put the target's truth there, or make it again")
    expected = nibabel.load(truth)
    found = _on_grid_of(expected, prediction)
    others = set(np.unique(found).tolist()) - set(range(classes + 1))
    if others:
        raise FedFactoryError(
            f"{prediction}: holds the value {min(others)}; a prediction holds labels, whole numbers from 0 to {classes}"
        )
    return np.asarray(expected.dataobj), found, expected.affine


def _on_grid_of(expected: Any, prediction: Path) -> np.ndarray:
    """Labels of a prediction that lies on the grid of its truth."""
    if not prediction.is_file():
        raise FedFactoryError(f"{prediction} is missing; the method must predict every test case")
    file = ImageFile(prediction)
    found = file.header()
    if found.shape != expected.shape or not same_grid(expected.affine, found.affine, expected.shape):
        raise FedFactoryError(
            f"{prediction}: shape {found.shape} or affine differs from the raw image's ({expected.shape}); predictions "
            "must be written in the geometry of the raw image"
        )
    return file.read()


def load_oriented(case: str, truth: Path, predictions: Mapping[str, Path], orientation: Orientation) -> Stack:
    """Load a case as pictures.

    Args:
        case: its name.
        truth: folder with ``<case>_image.nii.gz`` and ``<case>_truth.nii.gz``.
        predictions: method -> folder with ``<case>.nii.gz``.
        orientation: of the setup.

    Raises:
        FedFactoryError: as :func:`load_pair`, but for values.
    """
    image_file, truth_file = (nibabel.load(truth / f"{case}_{kind}.nii.gz") for kind in ("image", "truth"))
    affine = image_file.affine

    def pictures(array: np.ndarray) -> np.ndarray:
        turned = orient(array, affine, orientation)
        return np.stack([as_picture(turned[:, :, n].T, orientation) for n in range(turned.shape[2])])

    masks = {method: _on_grid_of(truth_file, folder / f"{case}.nii.gz") for method, folder in predictions.items()}
    width, height, _ = oriented_spacing(affine, orientation)
    return Stack(
        pictures(np.asarray(image_file.dataobj)),
        pictures(np.asarray(truth_file.dataobj)),
        {method: pictures(mask) for method, mask in masks.items()},
        height / width,
    )
