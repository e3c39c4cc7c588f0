"""FedDG's segmentation network, and its loss over an episode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from fedfactory.baselines.feddg.contrast import boundary_contrast
from fedfactory.baselines.feddg.parameters import FedDGParameters
from fedfactory.losses import segmentation_loss


class FeatureUNet(nn.Module):
    """A U-Net with instance normalisation that also returns the features before its last layer.

    Written out here since no module may have two names in it: ``functional_call`` would not put its weights back.

    Args:
        features: channels of each resolution, finest first.
        classes: foreground classes.
    """

    def __init__(self, features: Sequence[int], classes: int):
        super().__init__()
        channels = (1, *features[:-1])
        self.down = nn.ModuleList(_convolutions(c, width) for c, width in zip(channels, features, strict=True))
        self.up = nn.ModuleList(
            _convolutions(below + width, width) for below, width in zip(features[:0:-1], features[-2::-1], strict=True)
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


def episode_losses(network: nn.Module, images: Tensor, mixed: Tensor, labels: Tensor, p: FedDGParameters) -> Tensor:
    """Loss of one episode (FedDG, equations 5 to 8).

    First part: the segmentation loss of the images as they are. Second part: after one step of gradient descent on
    it, the segmentation loss of the same images in another client's look, and the boundary contrast over both looks.

    Args:
        network: (n, 1, S, S) -> logits and features.
        images: (n, 1, S, S).
        mixed: the same images with amplitudes interpolated towards another client's.
        labels: (n, S, S) uint8.
        p: parameters.

    Returns:
        A scalar; its gradient is that of both parts.
    """
    weights = dict(network.named_parameters())
    inner = _segmentation(network(images)[0], labels)
    gradients = torch.autograd.grad(inner, list(weights.values()), create_graph=p.order == "second", retain_graph=True)
    moved = {
        name: value - p.inner_rate * gradient
        for (name, value), gradient in zip(weights.items(), gradients, strict=True)
    }
    return inner + _outer(network, moved, images, mixed, labels, p)


def _outer(
    network: nn.Module, moved: Mapping[str, Tensor], images: Tensor, mixed: Tensor, labels: Tensor, p: FedDGParameters
) -> Tensor:
    logits, features = functional_call(network, dict(moved), (mixed,))
    loss = _segmentation(logits, labels)
    if p.contrast:
        _, own = functional_call(network, dict(moved), (images,))
        masks = (labels > 0).repeat(2, 1, 1)
        loss = loss + p.contrast * boundary_contrast(torch.cat([own, features]), masks)
    return loss


def _segmentation(logits: Tensor, labels: Tensor) -> Tensor:
    return segmentation_loss(logits, labels, 1.0, 1.0)


def _convolutions(channels: int, width: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for before in (channels, width):
        parts += [nn.Conv2d(before, width, 3, padding=1), nn.InstanceNorm2d(width, affine=True), nn.LeakyReLU(0.01)]
    return nn.Sequential(*parts)
