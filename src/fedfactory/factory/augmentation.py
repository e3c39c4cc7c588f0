"""Adaptive augmentation of what the discriminator sees (Karras et al., NeurIPS 2020), in plain torch.

Images are in [-1, 1] and -1 is their background: what moves in from outside is -1.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# Largest shift and largest edge of a cutout, as shares of the image's edge; standard deviations of the rest.
_SHIFT, _CUTOUT = 1 / 8, 1 / 4
_LOG_SCALE, _ANGLE = 0.1, 0.15
_LOG_GAIN, _OFFSET = 0.15, 0.08
# Images over which the running sign averages, and the largest probability: above, augmentation leaks into the images.
_WINDOW, _LARGEST = 128, 0.8


@dataclass
class AdaptiveProbability:
    """Probability of augmentation that follows the discriminator's overfitting.

    Attributes:
        target: mean sign of the discriminator's logits of real images to aim at; 0 turns augmentation off.
        speed: images until the probability may move from 0 to 1.
        p: the probability, in [0, 0.8].
        sign: the running mean sign, in [-1, 1].
    """

    target: float
    speed: int
    p: float = 0.0
    sign: float = 0.0

    def update(self, sign: float, images: int) -> None:
        """Move the probability by ``images / speed`` up if the running sign is above the target, else down.

        Args:
            sign: mean sign of the discriminator's logits of these real images.
            images: their number.
        """
        if self.target == 0:
            return
        self.sign += (sign - self.sign) * min(1.0, images / _WINDOW)
        step = images / self.speed
        self.p = min(max(self.p + (step if self.sign > self.target else -step), 0.0), _LARGEST)


def augment(images: Tensor, p: float, flip: bool, generator: torch.Generator | None = None) -> Tensor:
    """Augment images; every kind of change hits every image with probability p, independently.

    In this order: exchange of left and right, shift by whole pixels (up to 1/8 of the edge), scaling with rotation,
    gain with offset of the intensity, cutout. Differentiable once.

    Args:
        images: (batch, 1, height, width) in [-1, 1].
        p: probability, in [0, 1]; 0 returns the images as they are.
        flip: whether left and right may be exchanged.
        generator: source of random numbers; torch's global generator if None.

    Returns:
        (batch, 1, height, width).
    """
    if p <= 0:
        return images
    draw = _Draw(images, p, generator)
    x = _shift(images + 1, draw, flip)
    x = _warp(x, draw)
    x = _intensity(x, draw)
    return _cutout(x, draw) - 1


class _Draw:
    """Random numbers for a batch of images."""

    def __init__(self, images: Tensor, p: float, generator: torch.Generator | None):
        self.batch, self.p = len(images), p
        self.options: dict[str, Any] = {"generator": generator, "device": images.device, "dtype": images.dtype}

    def chosen(self) -> Tensor:
        """Which images are hit, bool (batch,)."""
        return torch.rand(self.batch, **self.options) < self.p

    def uniform(self, *shape: int) -> Tensor:
        """Uniform numbers in [-1, 1), (batch, *shape)."""
        return torch.rand(self.batch, *shape, **self.options) * 2 - 1

    def normal(self, deviation: float) -> Tensor:
        """Normal numbers of a standard deviation, (batch,)."""
        return torch.randn(self.batch, **self.options) * deviation


def _shift(x: Tensor, draw: _Draw, flip: bool) -> Tensor:
    """Shift and mirror exactly, by gathering rows and columns."""
    batch, _, height, width = x.shape
    limits = x.new_tensor([height, width]) * _SHIFT
    shifts = (draw.uniform(2) * limits).round().long() * draw.chosen()[:, None]
    rows = torch.arange(height, device=x.device) - shifts[:, :1]
    columns = torch.arange(width, device=x.device) - shifts[:, 1:]
    if flip:
        columns = torch.where(draw.chosen()[:, None], width - 1 - columns, columns)
    inside = ((rows >= 0) & (rows < height))[:, None, :, None] & ((columns >= 0) & (columns < width))[:, None, None]
    x = x.gather(2, rows.clamp(0, height - 1)[:, None, :, None].expand_as(x))
    x = x.gather(3, columns.clamp(0, width - 1)[:, None, None].expand_as(x))
    return x * inside


def _warp(x: Tensor, draw: _Draw) -> Tensor:
    """Scale and rotate around the centre."""
    chosen = draw.chosen()
    scale, angle = torch.exp(draw.normal(_LOG_SCALE)), draw.normal(_ANGLE)
    cosine, sine, zero = scale * torch.cos(angle), scale * torch.sin(angle), torch.zeros_like(scale)
    matrix = torch.stack([torch.stack([cosine, -sine, zero], 1), torch.stack([sine, cosine, zero], 1)], 1)
    grid = F.affine_grid(matrix, list(x.shape), align_corners=False)
    warped = F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    return torch.where(chosen[:, None, None, None], warped, x)


def _intensity(x: Tensor, draw: _Draw) -> Tensor:
    """Multiply by a gain and add an offset."""
    chosen = draw.chosen()
    gain = torch.exp(draw.normal(_LOG_GAIN) * chosen)
    offset = draw.normal(_OFFSET) * chosen
    return x * gain[:, None, None, None] + offset[:, None, None, None]


def _cutout(x: Tensor, draw: _Draw) -> Tensor:
    """Set a square to the background."""
    height, width = x.shape[2:]
    edge = torch.where(draw.chosen(), _CUTOUT, 0.0)[:, None]
    centres = draw.uniform(2)
    rows = (torch.linspace(-1, 1, height, device=x.device) - centres[:, :1]).abs() < edge
    columns = (torch.linspace(-1, 1, width, device=x.device) - centres[:, 1:]).abs() < edge
    return x * ~(rows[:, None, :, None] & columns[:, None, None])
