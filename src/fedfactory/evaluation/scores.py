"""Metrics per case and class in the space of the raw image, and the panel that Figure 2 shows of a cell."""

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from fedfactory.data.geometry import Orientation, orient, oriented_spacing
from fedfactory.data.store import ClientView
from fedfactory.evaluation.case_masks import load_oriented, load_pair
from fedfactory.evaluation.metrics import Agreement, Reach, Ruler, compare, reach
from fedfactory.evaluation.released_slices import Panel, grey_values, write_panels
from fedfactory.evaluation.subjects import LABELS, METRICS, REACH
from fedfactory.orchestration.labels import Labels
from fedfactory.storage.files import new_file

COLUMNS = (
    *("setup", "target", "method", "seed", *LABELS, "subject", "case", "class", "outcome"),
    *METRICS,
    *("truth_ml", "predicted_ml"),
    *REACH,
)


def score_cell(
    cell: Mapping[str, str | int],
    classes: Sequence[str],
    subjects: Mapping[str, str],
    truth: Path,
    predictions: Path,
    ruler: Ruler,
    orientation: Orientation,
    out: Path,
) -> None:
    """Score one cell of the table.

    Args:
        cell: setup, target, method, seed and the numbers of labelled slices, copied into each row.
        classes: class names; label value v is ``classes[v - 1]``.
        subjects: test case -> subject.
        truth: folder with ``<case>_truth.nii.gz``.
        predictions: folder with ``<case>.nii.gz``.
        ruler: how surfaces are measured at this target.
        orientation: of the setup: which axis the slices are counted along.
        out: CSV with one row per case and class, columns :data:`COLUMNS`, six digits (empty: nan).

    Raises:
        FedFactoryError: as :func:`~fedfactory.evaluation.case_masks.load_pair`.
    """
    rows = []
    for case, subject in sorted(subjects.items()):
        files = truth / f"{case}_truth.nii.gz", predictions / f"{case}.nii.gz"
        target, predicted, affine = load_pair(*files, len(classes))
        spacing = nibabel.affines.voxel_sizes(affine)
        turned = [orient(mask, affine, orientation) for mask in (predicted, target)]
        step = oriented_spacing(affine, orientation)[2]
        for value, name in enumerate(classes, start=1):
            found = compare(predicted == value, target == value, spacing, ruler)
            range_of_class = reach(turned[0] == value, turned[1] == value, step)
            rows.append({**cell, "subject": subject, "case": case, "class": name, **_texts(found, range_of_class)})
    with new_file(out) as path, path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def score_client(
    p: Mapping[str, Any], labels: Labels, data: Path, truth: Path, predictions: Path, out: Path
) -> dict[str, str]:
    """Score one cell from the target's own folders.

    Args:
        p: the cell, the setup's orientation, and how surfaces are measured: tolerance in mm, and whether planar.
        labels: which labelled slices of the target have a part in the cell.
        data: the target's store.
        truth: as for :func:`score_cell`.
        predictions: as for :func:`score_cell`.
        out: as for :func:`score_cell`.

    Returns:
        Test case -> subject.
    """
    view = ClientView(data)
    subjects = {row.case: row.subject for row in view.rows if row.split == "test" and row.labelled}
    cell = p["cell"] | dict(zip(LABELS, labels.count(view.rows), strict=True))
    ruler = Ruler(p["tolerance"], p["planar"])
    score_cell(cell, view.classes, subjects, truth, predictions, ruler, p["orientation"], out)
    return subjects


def write_panel(case: str, truth: Path, predictions: Path, orientation: Orientation, out: Path) -> None:
    """Save the slice of one case that Figure 2 shows, so that the figure needs no client's images.

    The slice is the middle one of those that hold truth; see :mod:`fedfactory.evaluation.released_slices`.
    """
    stack = load_oriented(case, truth, {"": predictions}, orientation)
    filled = np.flatnonzero(stack.truth.any(axis=(1, 2)))
    middle = filled[len(filled) // 2]
    planes = stack.truth[middle], stack.predictions[""][middle]
    with new_file(out) as path:
        write_panels({case: Panel(grey_values(stack.image[middle]), *planes, stack.aspect)}, path)


def _texts(found: Agreement, range_of_class: Reach) -> dict[str, str]:
    figures = {name: getattr(found, name) for name in COLUMNS if name in METRICS or name.endswith("_ml")}
    figures |= {name: getattr(range_of_class, name) for name in REACH}
    texts = {name: "" if math.isnan(value) else f"{value:.6f}" for name, value in figures.items()}
    return {"outcome": str(found.outcome), **texts}
