"""How well one predicted class agrees with its truth, in millimetres and millilitres: Dice, HD95, NSD, volume error.

A policy for empty masks, so that failing never improves a mean: see :func:`compare`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from fedfactory.config.skipped_imports import without
from fedfactory.evaluation.dice import dice

# MONAI imports whatever it finds; four seconds of every job that no metric uses.
_UNUSED = (
    *("itk", "IPython", "sklearn", "sklearn.metrics", "ignite", "pandas", "matplotlib", "matplotlib.pyplot"),
    *("torchvision", "jsonschema", "skimage", "scipy.signal"),
)
# Distances are float32, and of voxels: a tolerance of one voxel must hold its neighbours.
_ROUNDING = 1e-4


class Outcome(StrEnum):
    """What happened to a class in one case."""

    FOUND = "found"
    """Truth and prediction both hold it."""
    MISS = "miss"
    """Truth holds it, the prediction does not."""
    FALSE_ALARM = "false_alarm"
    """The prediction holds it, truth does not."""
    ABSENT = "absent"
    """Neither does: the case says nothing about the class, and counts nowhere."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of one class in one case; nan where a figure says nothing.

    Attributes:
        outcome: what happened.
        dice: Dice coefficient in [0, 1].
        hd95_mm: 95th percentile of the Hausdorff distance in mm, at least 0.
        nsd: normalised surface Dice at the setup's tolerance, in [0, 1].
        volume_error: difference of the volumes by their mean, 2 (predicted - true) / (predicted + true), in [-2, 2].
        truth_ml: true volume in millilitres (2D: area times the pixel's nominal thickness).
        predicted_ml: predicted volume.
    """

    outcome: Outcome
    dice: float
    hd95_mm: float
    nsd: float
    volume_error: float
    truth_ml: float
    predicted_ml: float


@dataclass(frozen=True)
class Ruler:
    """How surfaces are measured at one client.

    Attributes:
        tolerance_mm: distance within which a surface counts as found (NSD), in mm; at least 0. A hair (1e-4 of it) more
            counts as within: distances have the rounding of float32.
        planar: whether the last axis counts flat images with nothing between them (projections): distances are then
            those in each image, and the figures of a case their mean over the images that hold anything.
    """

    tolerance_mm: float
    planar: bool = False


def compare(prediction: np.ndarray, truth: np.ndarray, spacing: Sequence[float], ruler: Ruler) -> Agreement:
    """Compare one class of one case.

    Dice is of voxels; HD95 the larger of the two directed 95th percentiles between surface voxels (Huttenlocher et
    al., TPAMI 1993); NSD the share of both surfaces' area (in a plane: length) within a tolerance of the other surface
    (Nikolov et al., JMIR 2021). Both are MONAI's (``compute_hausdorff_distance``, ``compute_surface_dice``), with the
    image's spacing. MONAI counts surface voxels, whatever their area, unless asked for `use_subvoxels`, as here.

    Empty masks: a miss and a false alarm have the worst of every figure: Dice and NSD 0, volume error -2 and 2, and
    the worst HD95 that the image allows, its diagonal. A class that neither mask holds has no figure at all.

    Args:
        prediction: boolean, (X, Y) or (X, Y, Z); an axis of length 1 is flat: it has no surface of its own.
        truth: boolean, same shape.
        spacing: size of a voxel along each axis in mm.
        ruler: how surfaces are measured.

    Raises:
        ValueError: shapes differ, or ``spacing`` has another length.
    """
    if prediction.shape != truth.shape or len(spacing) != truth.ndim:
        raise ValueError(f"shapes {prediction.shape} and {truth.shape}, spacing of {len(spacing)} axes")
    ml = math.prod(spacing) / 1000
    truth_ml, predicted_ml = (float(mask.sum()) * ml for mask in (truth, prediction))
    if not truth_ml and not predicted_ml:
        return Agreement(Outcome.ABSENT, math.nan, math.nan, math.nan, math.nan, 0.0, 0.0)
    volume_error = 2 * (predicted_ml - truth_ml) / (predicted_ml + truth_ml)
    if truth_ml and predicted_ml:
        outcome = Outcome.FOUND
    else:
        outcome = Outcome.MISS if truth_ml else Outcome.FALSE_ALARM
    if ruler.planar:
        layers = [
            _surfaces(prediction[..., number], truth[..., number], spacing[:-1], ruler.tolerance_mm)
            for number in range(truth.shape[-1])
            if prediction[..., number].any() or truth[..., number].any()
        ]
        hd95, nsd = np.mean(layers, axis=0).tolist()
    else:
        hd95, nsd = _surfaces(prediction, truth, spacing, ruler.tolerance_mm)
    return Agreement(outcome, dice(prediction, truth), hd95, nsd, volume_error, truth_ml, predicted_ml)


@dataclass(frozen=True)
class Reach:
    """A prediction and the slices between the first and the last that hold the class in truth; nan without truth.

    Attributes:
        dice_inside: Dice coefficient within these slices, in [0, 1].
        slices_beyond: number of slices before or after them that hold the class in the prediction.
        mm_beyond: how far the furthest of them lies from them, in mm; 0 for none.
    """

    dice_inside: float
    slices_beyond: float
    mm_beyond: float


def reach(prediction: np.ndarray, truth: np.ndarray, step_mm: float) -> Reach:
    """How a prediction does where the class is, and how far it goes on where it is not.

    Args:
        prediction: boolean, (X, Y, slices).
        truth: boolean, same shape.
        step_mm: distance of two slices in mm.
    """
    held = np.flatnonzero(truth.any(axis=(0, 1)))
    if not len(held):
        return Reach(math.nan, math.nan, math.nan)
    first, last = held[0], held[-1]
    claimed = np.flatnonzero(prediction.any(axis=(0, 1)))
    beyond = np.maximum(first - claimed, claimed - last)
    inside = slice(first, last + 1)
    return Reach(
        dice(prediction[..., inside], truth[..., inside]),
        float((beyond > 0).sum()),
        step_mm * float(max(0, beyond.max(initial=0))),
    )


def diagonal_mm(shape: Sequence[int], spacing: Sequence[float]) -> float:
    """Length of an image's diagonal in mm: no two of its points are further apart."""
    return math.hypot(*(n * step for n, step in zip(shape, spacing, strict=True)))


def _surfaces(
    prediction: np.ndarray, truth: np.ndarray, spacing: Sequence[float], tolerance_mm: float
) -> tuple[float, float]:
    """HD95 in mm and NSD of two masks, of which at least one holds something."""
    if not prediction.any() or not truth.any():
        return diagonal_mm(truth.shape, spacing), 0.0
    import torch

    with without(*_UNUSED):
        from monai.data.meta_obj import set_track_meta
        from monai.metrics import compute_hausdorff_distance, compute_surface_dice

    # Half of the time of small masks is what MONAI's tensors would remember of where they come from.
    set_track_meta(False)
    torch.set_num_threads(1)
    axes = tuple(axis for axis, length in enumerate(truth.shape) if length == 1)
    masks = [torch.from_numpy(np.squeeze(mask, axes)[None, None].copy()) for mask in (prediction, truth)]
    steps = [step for axis, step in enumerate(spacing) if axis not in axes]
    common = {"include_background": True, "spacing": steps}
    hd95 = compute_hausdorff_distance(*masks, percentile=95, **common)
    within = tolerance_mm * (1 + _ROUNDING)
    nsd = compute_surface_dice(*masks, class_thresholds=[within], use_subvoxels=True, **common)
    return float(hd95), float(nsd)
