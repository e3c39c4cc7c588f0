"""The Dice coefficient, and its mean in validation. How the table averages is in :mod:`fedfactory.evaluation.subjects`.

Alone, because trainings choose by it: they must not be re-run when scoring changes.
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np


def dice(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Dice coefficient 2 |P and T| / (|P| + |T|) of two boolean arrays of one shape (Dice, Ecology 1945).

    Returns:
        A value in [0, 1]; 0 if exactly one of them is empty; nan if both are: the class is not there and nothing was
        claimed, so that the case says nothing about it.
    """
    total = int(prediction.sum()) + int(truth.sum())
    return 2 * int((prediction & truth).sum()) / total if total else math.nan


def mean_foreground_dice(prediction: np.ndarray, truth: np.ndarray, n_classes: int) -> float:
    """Mean Dice over the classes 1..n_classes of one volume; nan for classes that occur in neither is left out.

    Args:
        prediction: labels, (n, H, W).
        truth: labels, (n, H, W).
        n_classes: number of foreground classes.

    Returns:
        A number in [0, 1], or nan if no class occurs in either.
    """
    return _mean_of_known([dice(prediction == label, truth == label) for label in range(1, n_classes + 1)])


def mean_validation_dice(volumes: Iterable[tuple[np.ndarray, np.ndarray]], n_classes: int) -> float | None:
    """Mean over volumes of the mean foreground Dice; None if no volume shows any class, on either side.

    Args:
        volumes: labels found and true ones of each volume, (n, H, W).
        n_classes: number of foreground classes.
    """
    value = _mean_of_known([mean_foreground_dice(found, truth, n_classes) for found, truth in volumes])
    return None if math.isnan(value) else value


def _mean_of_known(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan
