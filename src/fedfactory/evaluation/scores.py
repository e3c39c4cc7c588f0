"""Dice per case and class in the space of the raw image, and the panel that Figure 2 shows of a cell."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import nibabel
import numpy as np

from fedfactory.data.geometry import Orientation, as_picture, orient, oriented_spacing
from fedfactory.data.raw import same_grid
from fedfactory.errors import FedFactoryError
from fedfactory.evaluation.dice import dice
from fedfactory.files import new_file

COLUMNS = ("setup", "target", "method", "seed", "subject", "case", "class", "dice")


def score_cell(
    cell: Mapping[str, str | int],
    classes: Sequence[str],
    subjects: Mapping[str, str],
    truth: Path,
    predictions: Path,
    out: Path,
) -> None:
    """Score one cell of the table.

    Args:
        cell: setup, target, method and seed, copied into each row.
        classes: class names; label value v is ``classes[v - 1]``.
        subjects: test case -> subject.
        truth: folder with ``<case>_truth.nii.gz``.
        predictions: folder with ``<case>.nii.gz``.
        out: CSV with one row per case and class, columns :data:`COLUMNS`, Dice in [0, 1] with six digits (empty: nan).

    Raises:
        FedFactoryError: a prediction is missing or not in the geometry of its image.
    """
    rows = []
    for case, subject in sorted(subjects.items()):
        target, predicted = _load_pair(truth / f"{case}_truth.nii.gz", predictions / f"{case}.nii.gz")
        for value, name in enumerate(classes, start=1):
            score = dice(predicted == value, target == value)
            text = "" if math.isnan(score) else f"{score:.6f}"
            rows.append({**cell, "subject": subject, "case": case, "class": name, "dice": text})
    with new_file(out) as path, path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_panel(case: str, truth: Path, predictions: Path, orientation: Orientation, out: Path) -> None:
    """Save the slice of one case that Figure 2 shows, so that the figure needs no client's images.

    The slice is the middle one of those that hold truth. Written as ``.npz`` without pickle: ``image``,
    ``truth`` and ``prediction`` (h, w) uint8, top row first; ``pixel`` (height, width) of a pixel in mm.
    """
    image_file = nibabel.load(truth / f"{case}_image.nii.gz")
    target, predicted = _load_pair(truth / f"{case}_truth.nii.gz", predictions / f"{case}.nii.gz")
    affine = image_file.affine
    image, target, predicted = (
        orient(array, affine, orientation) for array in (np.asarray(image_file.dataobj), target, predicted)
    )
    filled = np.flatnonzero(target.any(axis=(0, 1)))
    middle = filled[len(filled) // 2]
    low, high = np.percentile(image[:, :, middle], (0.5, 99.5))
    grey = np.clip((image[:, :, middle] - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)
    width, height, _ = oriented_spacing(affine, orientation)
    planes = {"image": grey, "truth": target[:, :, middle], "prediction": predicted[:, :, middle]}
    pictures = {name: as_picture(plane.T, orientation) for name, plane in planes.items()}
    with new_file(out) as path, path.open("wb") as file:
        np.savez(file, **pictures, pixel=np.array([height, width]))


def _load_pair(truth: Path, prediction: Path) -> tuple[np.ndarray, np.ndarray]:
    if not prediction.is_file():
        raise FedFactoryError(f"{prediction} is missing; the method must predict every test case")
    expected, found = nibabel.load(truth), nibabel.load(prediction)
    if found.shape != expected.shape or not same_grid(expected.affine, found.affine, expected.shape):
        raise FedFactoryError(
            f"{prediction}: shape {found.shape} or affine differs from the raw image's ({expected.shape}); predictions "
            "must be written in the geometry of the raw image"
        )
    return np.asarray(expected.dataobj), np.asarray(found.dataobj)
