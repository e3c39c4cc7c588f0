"""The Dice coefficient, alone: trainings choose by it and must not be re-run when scoring changes."""

import math

import numpy as np


def dice(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Dice coefficient 2 |P and T| / (|P| + |T|) of two boolean arrays of one shape (Dice, Ecology 1945).

    Returns:
        A value in [0, 1]; 0 if exactly one of them is empty; nan if both are: the class is not there and nothing was
        claimed, so that the case says nothing about it.
    """
    total = int(prediction.sum()) + int(truth.sum())
    return 2 * int((prediction & truth).sum()) / total if total else math.nan
