"""What a discriminator's client says about another site's translated images: a gradient, clipped and noisy."""

from __future__ import annotations

import torch
from torch import Tensor


def sanitised(gradient: Tensor, clip: float, noise: float, stream: torch.Generator) -> Tensor:
    """Clip the gradient of each image and add noise (GS-WGAN, Chen et al., NeurIPS 2020, equation 6).

    Args:
        gradient: of the generator's loss by translated images, (n, 1, S, S).
        clip: C, largest L2 norm of one image's gradient.
        noise: multiple s; Gaussian noise of standard deviation s C is added to every value.
        stream: of the noise, on the CPU.

    Returns:
        (n, 1, S, S): g min(1, C / |g|) + N(0, (s C)^2).
    """
    norms = gradient.flatten(1).norm(dim=1).clamp(min=1e-12)
    clipped = gradient * (clip / norms).clamp(max=1)[:, None, None, None]
    if noise == 0:
        return clipped
    return clipped + noise * clip * torch.randn(gradient.shape, generator=stream).to(gradient)
