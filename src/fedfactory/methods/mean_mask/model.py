"""Mean mask: the pixels that a class has in half of the slices of M_t or more, the same in every slice of a volume."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from fedfactory.methods.contract import Fit, Trained

_FILE = "mask.npy"


def mean_mask(labels: np.ndarray, classes: int) -> np.ndarray:
    """The mean of label maps.

    A class that no pixel has in half of the slices is marked where it is most often. Where two classes claim a pixel,
    the likelier one has it.

    Args:
        labels: (n, S, S) uint8, 0 background, 1..C.
        classes: C.

    Returns:
        (S, S) uint8.
    """
    shares = np.stack([(labels == value).mean(0) for value in range(1, classes + 1)])
    limits = np.minimum(0.5, shares.max((1, 2)))[:, None, None]
    likely = np.where(shares >= np.maximum(limits, 1e-9), shares, 0)
    return np.where(likely.max(0) > 0, likely.argmax(0) + 1, 0).astype(np.uint8)


def fit(task: Fit, folder: Path) -> None:
    """Write the mean mask of M_t."""
    np.save(folder / _FILE, mean_mask(task.view.few_shot().labels, len(task.view.classes)))


def segmenter(trained: Trained) -> Callable[[np.ndarray], np.ndarray]:
    """The segmenter of a model: (n, S, S) float32 -> (n, S, S) uint8, the same mask in every slice."""
    mask = np.load(trained.model / _FILE, allow_pickle=False)
    return lambda images: np.broadcast_to(mask, images.shape).copy()
