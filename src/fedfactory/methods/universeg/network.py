"""UniverSeg's network: a target image and a support set of labelled images, segmented without any training.

Butoi, Gonzalez Ortiz et al., "UniverSeg: Universal Medical Image Segmentation", ICCV 2023. Names and shapes of the
parameters are those of the published weights (version 1), which load unchanged.

A cross convolution runs over the channels of the target and of one support example together. It is linear, so it is the
sum of a convolution of the target, computed once, and one of the support example; and its mean over the support set,
all that the target's own path takes, is the convolution of the mean. Written so, a block costs S + 1 convolutions over
half of the channels instead of S over all, and the last block, whose support nobody reads, only two.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

PUBLISHED_FEATURES = (64, 64, 64, 64)
"""Features of each level of the published model."""
IMAGE_SIZE = 128
"""Edge of the published model's images in pixels."""


class CrossConvolution(nn.Module):
    """Convolution over the channels of a target and of each support example, as the sum of two.

    Args:
        channels: of the target and of a support example.
        features: of the result.
    """

    def __init__(self, channels: tuple[int, int], features: int):
        super().__init__()
        self.cross_conv = nn.Conv2d(sum(channels), features, 3, padding=1)
        self._of_target = channels[0]

    def target_part(self, target: Tensor) -> Tensor:
        """The target's share, bias included: (B, C_t, H, W) -> (B, F, H, W)."""
        return functional.conv2d(target, self.cross_conv.weight[:, : self._of_target], self.cross_conv.bias, padding=1)

    def support_part(self, support: Tensor) -> Tensor:
        """The share of support examples: (N, C_s, H, W) -> (N, F, H, W)."""
        return functional.conv2d(support, self.cross_conv.weight[:, self._of_target :], padding=1)


class _Convolution(nn.Sequential):
    """Convolution with an activation behind, under the published name."""

    def __init__(self, channels: int, features: int, kernel: int, activated: bool):
        parts: OrderedDict[str, nn.Module] = OrderedDict(
            conv=nn.Conv2d(channels, features, kernel, padding=kernel // 2)
        )
        super().__init__(parts | {"activation": nn.LeakyReLU()} if activated else parts)


class _OfEach(nn.Module):
    """One level more in the parameters' names, as published."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.vmapped = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.vmapped(x)


class CrossBlock(nn.Module):
    """Exchange between the target and its support set.

    Args:
        channels: of the target and of a support example.
        features: of both results.
    """

    def __init__(self, channels: tuple[int, int], features: int):
        super().__init__()
        self.cross = CrossConvolution(channels, features)
        self.target = _OfEach(_Convolution(features, features, 3, activated=True))
        self.support = _OfEach(_Convolution(features, features, 3, activated=True))

    def forward(self, target: Tensor, support: Tensor, support_is_read: bool) -> tuple[Tensor, Tensor | None]:
        """Exchange.

        Args:
            target: (B, C_t, H, W).
            support: (B, S, C_s, H, W), or (1, S, C_s, H, W) where it is the same for all targets.
            support_is_read: whether anyone needs the second result.

        Returns:
            (B, F, H, W), and (B, S, F, H, W) or None.
        """
        own = self.cross.target_part(target)
        if not support_is_read:
            return self.target(own + self.cross.support_part(support.mean(1))), None
        theirs = self.cross.support_part(support.flatten(0, 1)).unflatten(0, support.shape[:2])
        interaction = own[:, None] + theirs
        new_support = self.support(interaction.flatten(0, 1)).unflatten(0, interaction.shape[:2])
        return self.target(own + theirs.mean(1)), new_support


class UniverSeg(nn.Module):
    """The network.

    Args:
        features: of each level, from full resolution down; the published model has :data:`PUBLISHED_FEATURES`.
    """

    def __init__(self, features: Sequence[int] = PUBLISHED_FEATURES):
        super().__init__()
        channels = ((1, 2), *((width, width) for width in features[:-1]))
        self.enc_blocks = nn.ModuleList(CrossBlock(c, width) for c, width in zip(channels, features, strict=True))
        self.dec_blocks = nn.ModuleList(
            CrossBlock((below + width, below + width), width)
            for below, width in zip(features[:0:-1], features[-2::-1], strict=True)
        )
        self.out_conv = _Convolution(features[0], 1, 1, activated=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, a=0.01)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, target: Tensor, images: Tensor, labels: Tensor) -> Tensor:
        """Segment.

        Args:
            target: images (B, 1, H, W) in [0, 1]; edges divisible by 2 to the power of the levels below the first.
            images: of the support set, (S, 1, H, W) for all targets or (B, S, 1, H, W) for each its own.
            labels: their masks, same shape, 0 or 1.

        Returns:
            Logits (B, 1, H, W). The order of the support set does not matter.
        """
        support = torch.cat([images, labels], dim=-3)
        support = support[None] if support.ndim == 4 else support
        skips: list[tuple[Tensor, Tensor]] = []
        for level, block in enumerate(self.enc_blocks):
            if level:
                skips.append((target, support))
                target, support = _halved(target), _each(support, _halved)
            target, support = block(target, support, True)
        for block in self.dec_blocks:
            target_skip, support_skip = skips.pop()
            target = torch.cat([_enlarged(target), target_skip], dim=1)
            support = torch.cat([_each(support, _enlarged), support_skip], dim=2)
            target, support = block(target, support, block is not self.dec_blocks[-1])
        return self.out_conv(target)


def _each(support: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    return change(support.flatten(0, 1)).unflatten(0, support.shape[:2])


def _halved(x: Tensor) -> Tensor:
    return functional.max_pool2d(x, 2)


def _enlarged(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
