"""An upper bound, kept out of Table 1: SAM with a box around every class in the truth of the test volume itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nibabel
import numpy as np

from fedfactory.data.store import ClientView
from fedfactory.errors import FedFactoryError
from fedfactory.methods.contract import Segmenter
from fedfactory.methods.sam.parameters import ORACLE
from fedfactory.methods.sam.tuning import SamSegmenter


def with_truth(segment: SamSegmenter, view: ClientView, truth: Path) -> Segmenter:
    """A segmenter for the test volumes of a client, in their order, that is told where each class lies.

    Args:
        segment: tuned with the prompt ``oracle_box``.
        view: the target's store.
        truth: folder with ``<case>_truth.nii.gz``.

    Raises:
        FedFactoryError: decoders that were tuned with another prompt.
    """
    if segment.prompt != ORACLE:
        raise FedFactoryError(f"these decoders were tuned with the prompt '{segment.prompt}', not with '{ORACLE}'")
    known = _truth_of(view, truth)
    return lambda images: segment.by_oracle(images, next(known))


def _truth_of(view: ClientView, truth: Path) -> Iterator[np.ndarray]:
    """Labels (n, S, S) uint8 of the test volumes, brought to the slices of the store."""
    for volume in view.test_volumes():
        geometry = view.geometry(volume.name)
        labels = np.asarray(nibabel.load(truth / f"{volume.name}_truth.nii.gz").dataobj).astype(np.uint8)
        yield geometry.to_slices(geometry.to_planes(labels, labels=True), 0)
