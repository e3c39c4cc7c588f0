"""Losses of the factory (Karras et al., CVPR 2020; Mescheder et al., ICML 2018; paper, section 3.1)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def discriminator_loss(real: Tensor, generated: Tensor) -> Tensor:
    """Non-saturating logistic loss of the discriminator from its logits (batch,): a scalar."""
    return F.softplus(-real).mean() + F.softplus(generated).mean()


def generator_loss(generated: Tensor) -> Tensor:
    """Non-saturating logistic loss of the generator from the discriminator's logits (batch,): a scalar."""
    return F.softplus(-generated).mean()


def r1_penalty(outputs: Tensor, images: Tensor) -> Tensor:
    """Mean squared norm of the discriminator's gradient at real images (Mescheder et al., equation 9).

    Args:
        outputs: logits (batch,) of the images.
        images: (batch, 1, height, width), which require a gradient.

    Returns:
        A scalar with a graph; the loss is gamma / 2 times it.
    """
    (gradient,) = torch.autograd.grad(outputs.sum(), images, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


def path_length_penalty(
    images: Tensor, styles: Tensor, noise: Tensor, running_mean: Tensor, decay: float
) -> tuple[Tensor, Tensor]:
    """Deviation of the generator's path lengths from their running mean (Karras et al., CVPR 2020, equation 4).

    Args:
        images: (batch, 1, height, width), rendered from the styles.
        styles: (batch, n_styles, latent), which require a gradient.
        noise: the direction y, of the images' shape, of a standard normal distribution.
        running_mean: scalar, the mean length so far.
        decay: share of this batch in the new mean.

    Returns:
        The penalty, a scalar with a graph, and the new running mean, a scalar without.
    """
    direction = noise / math.sqrt(images.shape[2] * images.shape[3])
    (gradient,) = torch.autograd.grad((images * direction).sum(), styles, create_graph=True)
    lengths = gradient.square().sum(2).mean(1).sqrt()
    mean = torch.lerp(running_mean, lengths.detach().mean(), decay)
    return (lengths - mean).square().mean(), mean


def spherical_distance(a: Tensor, b: Tensor) -> Tensor:
    """Squared angle between vectors (..., features), in [0, pi ** 2]: the distance of the refinement stage."""
    chord = (F.normalize(a, dim=-1) - F.normalize(b, dim=-1)).norm(dim=-1)
    return (2 * torch.asin((chord / 2).clamp(max=1))).square()
