"""Segmentation and reconstruction losses (paper, section 3.2)."""

from __future__ import annotations

from collections.abc import Callable

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


def reconstruction_loss(
    images: Tensor, targets: Tensor, mse: float, lpips: float, perceptual: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Weighted sum of the mean squared error and LPIPS.

    Args:
        images: (batch, 1, s, s), about in [-1, 1].
        targets: (batch, 1, t, t), in [-1, 1]; both are compared at the smaller of both sizes, since an image that was
            only enlarged has nothing to teach above its own resolution.
        mse: weight of the mean squared error.
        lpips: weight of LPIPS.
        perceptual: LPIPS.

    Returns:
        A scalar.
    """
    size = min(images.shape[-1], targets.shape[-1])
    images, targets = resize(images, size), resize(targets, size)
    loss = mse * F.mse_loss(images, targets)
    return loss + lpips * perceptual(images, targets) if lpips else loss


def resize(images: Tensor, size: int) -> Tensor:
    """Bring images (count, 1, S, S) to an edge of ``size``: mean of blocks where S is a multiple, else bilinear."""
    edge = images.shape[-1]
    if edge == size:
        return images
    if edge % size == 0:
        return F.avg_pool2d(images, edge // size)
    return F.interpolate(images, (size, size), mode="bilinear", align_corners=False, antialias=edge > size)


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Labels (batch, height, width) as probabilities (batch, classes + 1, height, width), float32."""
    return F.one_hot(labels.long(), classes + 1).permute(0, 3, 1, 2).to(torch.float32)
