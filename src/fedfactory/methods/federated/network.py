"""The segmentation network of rows that a federation trains on labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class FeatureUNet(nn.Module):
    """A U-Net with instance normalisation that also returns the features before its last layer.

    Written out here since no module may have two names in it: ``functional_call`` would not put its weights back.

    Args:
        features: channels of each resolution, finest first.
        convolutions: of each block.
        classes: foreground classes.
    """

    def __init__(self, features: Sequence[int], convolutions: int, classes: int):
        super().__init__()
        channels = (1, *features[:-1])
        self.down = nn.ModuleList(
            _block(above, width, convolutions) for above, width in zip(channels, features, strict=True)
        )
        self.up = nn.ModuleList(
            _block(below + width, width, convolutions)
            for below, width in zip(features[:0:-1], features[-2::-1], strict=True)
        )
        self.head = nn.Conv2d(features[0], classes + 1, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (n, classes + 1, S, S) and features (n, C, S, S) of images (n, 1, S, S)."""
        x, skips = images, []
        for level, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if level else x)
            skips.append(x)
        skips.pop()
        for block in self.up:
            skip = skips.pop()
            x = functional.interpolate(x, skip.shape[-2:], mode="bilinear", align_corners=False)
            x = block(torch.cat([x, skip], 1))
        return self.head(x), x


def normalisation_of(network: nn.Module) -> frozenset[str]:
    """Names, in a network's state dict, of what its instance normalisation has learned."""
    layers = [(name, module) for name, module in network.named_modules() if isinstance(module, nn.InstanceNorm2d)]
    return frozenset(f"{name}.{own}" for name, module in layers for own in module.state_dict())


def _block(channels: int, width: int, convolutions: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for before in (channels, *[width] * (convolutions - 1)):
        parts += [nn.Conv2d(before, width, 3, padding=1), nn.InstanceNorm2d(width, affine=True), nn.LeakyReLU(0.01)]
    return nn.Sequential(*parts)
