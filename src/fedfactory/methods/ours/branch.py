"""The segmentation branch S: a pixel classifier on all feature maps of the factory (paper, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import torch.nn.functional as F
from torch import Tensor, nn

from fedfactory.methods.ours.pointwise import Pointwise


class SegmentationBranch(nn.Module):
    """Classify pixels from feature maps of all resolutions.

    Every map passes a linear layer at its own resolution; maps of one resolution are summed before they are enlarged
    once. Both are linear, so this equals classifying the concatenation of all enlarged maps, for a fraction of the
    work.

    Args:
        maps: channels of each map, in the factory's order.
        hidden: channels of the two hidden layers.
        classes: foreground classes; one more output is the background.
    """

    def __init__(self, maps: Sequence[int], hidden: Sequence[int], classes: int):
        super().__init__()
        self.layers = nn.ModuleList(Pointwise(width, hidden[0], bias=number == 0) for number, width in enumerate(maps))
        self.classifier = nn.Sequential(
            nn.ReLU(),
            nn.BatchNorm2d(hidden[0]),
            Pointwise(hidden[0], hidden[1]),
            nn.ReLU(),
            nn.BatchNorm2d(hidden[1]),
            Pointwise(hidden[1], classes + 1),
        )

    def forward(self, maps: Sequence[Tensor], size: int) -> Tensor:
        """Classify.

        Args:
            maps: (batch, channels, height, width) each.
            size: edge of the result.

        Returns:
            Logits (batch, classes + 1, size, size).
        """
        sums: dict[int, Tensor] = {}
        for layer, x in zip(self.layers, maps, strict=True):
            edge, own = x.shape[-1], layer(x)
            sums[edge] = sums[edge] + own if edge in sums else own
        enlarged = (x if edge == size else F.interpolate(x, (size, size), mode="bilinear") for edge, x in sums.items())
        return self.classifier(reduce(Tensor.add, enlarged))
