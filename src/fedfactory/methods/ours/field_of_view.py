"""Fields of view: a target's images are brought into the source's, and its masks back again.

A head fills the source's frame and half of a target's; a branch that learned at the source's scale has to see that
scale. The factory has learned each client's magnification of the anatomy that all share (``network.client_zoom``): that
needs no header of an image and no image of the other site. It may be wrong where a modality shows less than the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from fedfactory.factory.layers import magnify
from fedfactory.training.batches import resize
from fedfactory.training.losses import one_hot

# Smaller differences are left alone: resampling would cost thin structures more than it gains.
_LEAST = 0.15
_PART = 64


@dataclass(frozen=True)
class FieldOfView:
    """From one field of view to another.

    Attributes:
        zoom: logarithm of the magnification; 0 leaves everything as it is.
    """

    zoom: float

    @classmethod
    def of(cls, zoom: float) -> Self:
        """A frame, or none where the magnification would hardly change a thing."""
        return cls(zoom if abs(zoom) >= _LEAST else 0.0)

    def images(self, images: Tensor, size: int) -> Tensor:
        """Bring images (count, 1, S, S) into the frame, with an edge of ``size`` pixels."""
        return resize(self._moved(images), size)

    def labels(self, labels: Tensor, classes: int) -> Tensor:
        """Bring labels (count, S, S) uint8 into the frame, as labels again."""
        if self.zoom == 0:
            return labels
        # In parts: probabilities of all classes would be many times as large as the labels.
        parts = [self._moved(one_hot(part, classes)).argmax(1).to(torch.uint8) for part in labels.split(_PART)]
        return torch.cat(parts)

    def back(self, probabilities: Tensor) -> Tensor:
        """Bring probabilities (count, classes + 1, S, S) back; what the frame does not show is background."""
        if self.zoom == 0:
            return probabilities
        moved = magnify(probabilities, -self.zoom)
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
        return x if self.zoom == 0 else magnify(x, self.zoom).contiguous()
