"""What every method of the benchmark has in common.

A method trains on views of client stores (:class:`fedfactory.data.store.ClientView`) and ends as a *segmenter*: a
function from slices to labels. Everything around it is shared: which slices it gets, the checks of what it returns,
the way back to the raw image's geometry, and later the scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel
import numpy as np

from fedfactory.data.store import ClientView
from fedfactory.errors import FedFactoryError
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.files import new_folder

if TYPE_CHECKING:
    from fedfactory.data.geometry import Orientation
    from fedfactory.evaluation.choice import Choice
    from fedfactory.storage.checkpoints import Checkpoints

Segmenter = Callable[[np.ndarray], np.ndarray]
"""(n, size, size) float32 in [-1, 1], the slices of one case in order -> (n, size, size) uint8, 0 background, 1..C."""


@dataclass(frozen=True)
class Fit:
    """What a method is fitted on at a target: its function ``fit`` gets it, and the folder of the model to fill.

    Attributes:
        view: the target's store; ``few_shot()`` is M_t.
        parameters: as they stand in the configuration; checked before.
        seed: of the training.
        device: ``cpu`` or ``cuda``; a method that uses torch calls ``fedfactory.training.devices.prepare`` with it.
        checkpoints: for :class:`fedfactory.training.loop.Training`, which resumes after a kill.
        progress: where to report.
        others: models that it starts from, as the method's ``Cells.starts_from`` names them.
    """

    view: ClientView
    parameters: Mapping[str, Any]
    seed: int
    device: str
    checkpoints: Checkpoints
    progress: Progress
    others: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Trained:
    """What a method predicts with: its function ``segmenter`` gets it.

    Attributes:
        model: file or folder of the model.
        others: what else the prediction reads, in the order in which the method's ``Cells.with_model`` names it.
        view: the target's store.
        parameters: of the prediction, from the method's ``Cells.prediction``.
        orientation: of the setup, for pictures.
        device: ``cpu`` or ``cuda``; a method that uses torch calls ``fedfactory.training.devices.prepare`` with it.
        choice: what validation volumes chose; None without them: the model's own state.
    """

    model: Path
    others: tuple[Path, ...]
    view: ClientView
    parameters: Mapping[str, Any]
    orientation: Orientation
    device: str
    choice: Choice | None = None


def predict_cases(view: ClientView, segment: Segmenter, out: Path, progress: Progress) -> list[str]:
    """Predict all test cases of a client and write masks in the geometry of the raw images.

    Args:
        view: the target's store.
        segment: the trained method.
        out: folder for ``<case>.nii.gz`` (uint8, raw shape and affine); written whole or not at all.
        progress: where to report.

    Returns:
        Names of the cases, in the order in which they were segmented.

    Raises:
        FedFactoryError: the method returned something else than the contract says.
    """
    volumes = list(view.test_volumes())
    with new_folder(out) as folder:
        for number, volume in enumerate(volumes, start=1):
            labels = segment(volume.images)
            _check(labels, volume.images.shape, len(view.classes), volume.name)
            geometry = view.geometry(volume.name)
            mask = nibabel.Nifti1Image(geometry.to_raw(labels), np.asarray(geometry.affine))
            nibabel.save(mask, folder / f"{volume.name}.nii.gz")
            progress.update(number, len(volumes), volume.name)
    return [volume.name for volume in volumes]


def _check(labels: np.ndarray, shape: tuple[int, ...], classes: int, case: str) -> None:
    if labels.dtype != np.uint8 or labels.shape != shape:
        raise FedFactoryError(
            f"case {case}: the method returned {labels.dtype} of shape {labels.shape}; the contract asks for uint8 of "
            f"shape {shape}"
        )
    if labels.max(initial=0) > classes:
        raise FedFactoryError(f"case {case}: the method returned label {labels.max()}; the setup has {classes} classes")
