"""Fields of view: a target's images are brought into the source's, and its masks back again.

A head fills the source's frame and half of a target's; a branch that learned at the source's scale has to see that
scale. The factory has learned each client's magnification of the anatomy that all share (``network.client_zoom``), so
the ratio of two clients needs no header of an image and no image of the other site.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fedfactory.factory.layers import magnify

# Smaller differences are left alone: resampling would cost thin structures more than it gains.
_LEAST = 0.1


def frame_between(target: float, source: float) -> Frame:
    """From a target's field of view to the source's, given the logarithms of both magnifications."""
    zoom = source - target
    return Frame(zoom if abs(zoom) >= _LEAST else 0.0)


@dataclass(frozen=True)
class Frame:
    """From one field of view to another.

    Attributes:
        zoom: logarithm of the magnification; 0 leaves everything as it is.
    """

    zoom: float

    def images(self, images: Tensor, size: int) -> Tensor:
        """Bring images (count, 1, S, S) into the frame, with an edge of ``size`` pixels."""
        return resize(self._moved(images), size)

    def labels(self, labels: Tensor, classes: int) -> Tensor:
        """Bring labels (count, S, S) into the frame: probabilities (count, classes + 1, S, S), float32."""
        return self._moved(F.one_hot(labels.long(), classes + 1).permute(0, 3, 1, 2).float())

    def back(self, probabilities: Tensor) -> Tensor:
        """Bring probabilities (count, classes + 1, S, S) back; what the frame does not show is background."""
        if self.zoom == 0:
            return probabilities
        moved = magnify(probabilities, probabilities.new_full((len(probabilities),), -self.zoom))
        if self.zoom < 0:
            return moved
        size = moved.shape[-1]
        places = (torch.arange(size, device=moved.device) - (size - 1) / 2).abs() * 2 / size
        seen = places <= torch.exp(torch.tensor(-self.zoom))
        inside = (seen[:, None] & seen[None, :])[None, None]
        background = torch.zeros_like(moved)
        background[:, 0] = 1
        return torch.where(inside, moved, background)

    def _moved(self, x: Tensor) -> Tensor:
        return x if self.zoom == 0 else magnify(x, x.new_full((len(x),), self.zoom)).contiguous()


def resize(images: Tensor, size: int) -> Tensor:
    """Bring images (count, 1, S, S) to an edge of ``size``: mean of blocks where S is a multiple, else bilinear."""
    edge = images.shape[-1]
    if edge == size:
        return images
    if edge % size == 0:
        return F.avg_pool2d(images, edge // size)
    return F.interpolate(images, (size, size), mode="bilinear", align_corners=False, antialias=edge > size)
