"""What every method of the benchmark has in common.

A method trains on views of client stores (:class:`fedfactory.data.store.ClientView`) and ends as a *segmenter*: a
function from slices to labels. Everything around it is shared: which slices it gets, the checks of what it returns,
the way back to the raw image's geometry, and later the scores.
"""

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np

from fedfactory.data.store import ClientView
from fedfactory.errors import FedFactoryError
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.files import new_folder

Segmenter = Callable[[np.ndarray], np.ndarray]
"""(n, size, size) float32 in [-1, 1], the slices of one case in order -> (n, size, size) uint8, 0 background, 1..C."""


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
