"""The reconstruction loss, and how much of the content it sees (paper, section 3.2)."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from fedfactory.methods.ours.parameters import AdaptationSchedule
from fedfactory.training.batches import resize


def content_share(step: int, schedule: AdaptationSchedule) -> float:
    """Share of the content features that the factory is given at a step: they fade in from 0 to 1."""
    return min(1.0, step / (schedule.ramp * schedule.steps)) if schedule.ramp else 1.0


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
