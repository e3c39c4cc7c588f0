"""FedDG's segmentation network, and its loss over an episode."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from fedfactory.methods.feddg.contrast import boundary_contrast
from fedfactory.methods.feddg.parameters import FedDGParameters
from fedfactory.training.losses import segmentation_loss


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
    it, the segmentation loss of the same images in another client's look, and the boundary contrast of every class over
    both looks, each with the features of its own part, as in the authors' code.

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
    logits, features = network(images)
    inner = _segmentation(logits, labels)
    gradients = torch.autograd.grad(
        inner, list(weights.values()), create_graph=p.gradient_order == "second", retain_graph=True
    )
    moved = {
        name: value - p.inner_learning_rate * gradient
        for (name, value), gradient in zip(weights.items(), gradients, strict=True)
    }
    logits, other = functional_call(network, moved, (mixed,))
    outer = _segmentation(logits, labels)
    if p.contrast:
        both, of_both = torch.cat([features, other]), labels.repeat(2, 1, 1)
        classes = range(1, logits.shape[1])
        outer = outer + p.contrast * sum(boundary_contrast(both, of_both == value) for value in classes)
    return inner + outer


def _segmentation(logits: Tensor, labels: Tensor) -> Tensor:
    return segmentation_loss(logits, labels, 1.0, 1.0)


def _convolutions(channels: int, width: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for before in (channels, width):
        parts += [nn.Conv2d(before, width, 3, padding=1), nn.InstanceNorm2d(width, affine=True), nn.LeakyReLU(0.01)]
    return nn.Sequential(*parts)
