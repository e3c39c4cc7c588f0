"""Random changes of the images of a batch that trainings of this package share."""

from __future__ import annotations

import torch
from torch import Tensor

_CONTRAST, _NOISE = 0.35, 0.1


def jittered(images: Tensor, strength: float, stream: torch.Generator) -> Tensor:
    """Images (n, 1, s, s) in [-1, 1] with other contrast, brightness and noise, each by its own draw.

    Args:
        images: what to change.
        strength: 0 for nothing; at 1 the standard deviations are 0.35 for the logarithms of gamma and gain, 0.1 for the
            offset (grey values from 0 to 1) and up to 0.1 for the noise.
        stream: of the draws, on the CPU.
    """
    if strength == 0:
        return images
    draws = torch.randn(4, len(images), 1, 1, 1, generator=stream).to(images.device) * strength
    noise = torch.randn(images.shape, generator=stream).to(images.device)
    grey = ((images + 1) / 2).clamp(0, 1) ** torch.exp(_CONTRAST * draws[0]) * torch.exp(_CONTRAST * draws[1])
    grey = grey + _NOISE * (draws[2] + draws[3].abs().clamp(max=strength) * noise)
    return (2 * grey - 1).clamp(-1, 1)
