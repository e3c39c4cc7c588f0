"""Losses that trainings of this package share."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# Smooths the Dice of a class that a batch does not hold.
_SMOOTH = 1.0


def segmentation_loss(logits: Tensor, labels: Tensor, dice: float, cross_entropy: float) -> Tensor:
    """Weighted sum of soft Dice and cross-entropy.

    Args:
        logits: (batch, classes + 1, height, width).
        labels: (batch, height, width) uint8.
        dice: weight of the soft Dice loss, 1 - mean over the foreground classes of
            2 sum(p y) / (sum(p) + sum(y)), sums over the whole batch (Milletari et al., 3DV 2016).
        cross_entropy: weight of the mean cross-entropy.

    Returns:
        A scalar.
    """
    p, wanted = logits.softmax(1), one_hot(labels, logits.shape[1] - 1)
    both = (p * wanted).sum((0, 2, 3))[1:]
    either = (p + wanted).sum((0, 2, 3))[1:]
    overlap = (2 * both + _SMOOTH) / (either + _SMOOTH)
    return dice * (1 - overlap.mean()) + cross_entropy * F.cross_entropy(logits, labels.long())


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Labels (batch, height, width) as probabilities (batch, classes + 1, height, width), float32."""
    return F.one_hot(labels.long(), classes + 1).permute(0, 3, 1, 2).to(torch.float32)


def faded_in(step: int, steps: int, ramp: float) -> float:
    """Weight at a step of terms that ask for no label: exp(-5 (1 - t)^2) over the ramp, then 1.

    Args:
        step: from 0 on.
        steps: of the training.
        ramp: share of the steps.

    Source: Laine and Aila, "Temporal Ensembling for Semi-Supervised Learning", ICLR 2017.
    """
    reached = min(1.0, step / (ramp * steps)) if ramp else 1.0
    # Rounded: processors differ in the last digit of an exponential.
    return round(math.exp(-5.0 * (1 - reached) ** 2), 6)
