"""Adaptive augmentation of what the discriminator sees (Karras et al., NeurIPS 2020), in plain torch.

Images are in [-1, 1] and -1 is their background: what moves in from outside is -1.
"""

from dataclasses import dataclass
from typing import Any, Self

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
    gain with offset of the intensity, cutout. Differentiable twice: R1 looks through it.

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
    change = Change.drawn(images, p, flip, generator)
    changed: Any = _Linear.apply(images + 1, change)
    return changed + change.offset - 1


@dataclass(frozen=True)
class Change:
    """What happens to the images of a batch: a linear map of them, and an offset.

    Attributes:
        rows: from which row each row comes, int64 (batch, height).
        columns: from which column each column comes, int64 (batch, width).
        inside: which pixels come from inside, bool (batch, 1, height, width).
        grid: where the scaled and rotated image is read, (batch, height, width, 2).
        warped: which images are, bool (batch, 1, 1, 1).
        gain: of the intensity where nothing is cut out, (batch, 1, height, width).
        offset: added to the result, of the same shape.
    """

    rows: Tensor
    columns: Tensor
    inside: Tensor
    grid: Tensor
    warped: Tensor
    gain: Tensor
    offset: Tensor

    @classmethod
    def drawn(cls, images: Tensor, p: float, flip: bool, generator: torch.Generator | None) -> Self:
        """Draw a change of images (batch, 1, height, width); see :func:`augment`."""
        draw = _Draw(images, p, generator)
        rows, columns = _shift(images, draw, flip)
        height, width = images.shape[2:]
        inside = ((rows >= 0) & (rows < height))[:, None, :, None] & ((columns >= 0) & (columns < width))[:, None, None]
        warped, grid = draw.chosen(), _grid(images, draw)
        bright = draw.chosen()
        gain, offset = torch.exp(draw.normal(_LOG_GAIN) * bright), draw.normal(_OFFSET) * bright
        kept = ~_cut(images, draw)
        return cls(
            rows.clamp(0, height - 1)[:, None, :, None].expand_as(images),
            columns.clamp(0, width - 1)[:, None, None].expand_as(images),
            inside,
            grid,
            warped[:, None, None, None],
            gain[:, None, None, None] * kept,
            offset[:, None, None, None] * kept,
        )

    def linear(self, x: Tensor) -> Tensor:
        """The linear part, of images whose background is 0."""
        x = x.gather(2, self.rows).gather(3, self.columns) * self.inside
        moved = F.grid_sample(x, self.grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        return torch.where(self.warped, moved, x) * self.gain


class _Linear(torch.autograd.Function):
    """A change's linear part; its derivative is the transposed map, which torch itself cannot differentiate again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, change: Change) -> Tensor:
        ctx.change = change
        return change.linear(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return _Transposed.apply(gradients[0], ctx.change), None


class _Transposed(torch.autograd.Function):
    """The transposed map; its derivative is the map."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, change: Change) -> Tensor:
        ctx.change = change
        with torch.enable_grad():
            x = torch.zeros_like(gradient, requires_grad=True)
            (found,) = torch.autograd.grad(change.linear(x), x, gradient)
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return ctx.change.linear(gradients[0]), None


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


def _shift(images: Tensor, draw: _Draw, flip: bool) -> tuple[Tensor, Tensor]:
    """From which row and column each one comes, int64 (batch, height) and (batch, width); outside if there is none."""
    height, width = images.shape[2:]
    limits = images.new_tensor([height, width]) * _SHIFT
    shifts = (draw.uniform(2) * limits).round().long() * draw.chosen()[:, None]
    rows = torch.arange(height, device=images.device) - shifts[:, :1]
    columns = torch.arange(width, device=images.device) - shifts[:, 1:]
    if flip:
        columns = torch.where(draw.chosen()[:, None], width - 1 - columns, columns)
    return rows, columns


def _grid(images: Tensor, draw: _Draw) -> Tensor:
    """Where a scaled and rotated image is read, (batch, height, width, 2)."""
    scale, angle = torch.exp(draw.normal(_LOG_SCALE)), draw.normal(_ANGLE)
    cosine, sine, zero = scale * torch.cos(angle), scale * torch.sin(angle), torch.zeros_like(scale)
    matrix = torch.stack([torch.stack([cosine, -sine, zero], 1), torch.stack([sine, cosine, zero], 1)], 1)
    return F.affine_grid(matrix, list(images.shape), align_corners=False)


def _cut(images: Tensor, draw: _Draw) -> Tensor:
    """Which pixels become background, bool (batch, 1, height, width): a square."""
    height, width = images.shape[2:]
    edge = torch.where(draw.chosen(), _CUTOUT, 0.0)[:, None]
    centres = draw.uniform(2)
    rows = (torch.linspace(-1, 1, height, device=images.device) - centres[:, :1]).abs() < edge
    columns = (torch.linspace(-1, 1, width, device=images.device) - centres[:, 1:]).abs() < edge
    return rows[:, None, :, None] & columns[:, None, None]
