"""Domain randomisation: contrasts that no scanner has, so that a network of the source learns shapes, not grey values.

``gin``: global intensity non-linear augmentation, a shallow convolutional network with other random weights for every
image (Ouyang et al., Causality-Inspired Single-Source Domain Generalization for Medical Image Segmentation, IEEE TMI
42(4), 2023). ``synthseg``: no image of the source at all, but one that is drawn from its label map (Billot et al.,
SynthSeg, Medical Image Analysis 86, 2023), where what has no label gets regions by its grey values.

Imports nnunetv2's transforms: import it late, in `nnunet_environment`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform, ImageOnlyTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from torch import Tensor
from torch.nn import functional

# As published: convolutions, channels between them, edges of their kernels.
_LAYERS, _CHANNELS, _KERNELS = 4, 2, (1, 3)
# SynthSeg's ranges, of grey values from 0 to 1: largest deviation within a region, largest one of the bias field's
# logarithm. It draws labels of all tissues; unlabelled ones are told apart in so many regions.
_DEVIATION, _BIAS, _BIAS_KNOTS, _REGIONS = 35 / 255, 0.6, 4, (2, 6)
_ROUNDS = 10


def randomised(transforms: Any, kind: str) -> Any:
    """Put domain randomisation beside a trainer's own transforms.

    Args:
        transforms: of nnU-Net, for one slice.
        kind: ``none``; ``gin``, behind the trainer's; or ``synthseg``, before them, which then blur and distort it.
    """
    if kind == "none":
        return transforms
    return ComposeTransforms([transforms, Gin()] if kind == "gin" else [SynthSeg(), transforms])


class Gin(ImageOnlyTransform):
    """Global intensity non-linear augmentation of a slice (1, H, W), with weights and share of its own."""

    def _apply_to_image(self, img: Tensor, **params: Any) -> Tensor:
        stream = _stream()
        edges = [_KERNELS[int(torch.randint(len(_KERNELS), (), generator=stream))] for _ in range(_LAYERS)]
        widths = [len(img), *[_CHANNELS] * (_LAYERS - 1), len(img)]
        layers = [
            (torch.randn(after, before, edge, edge, generator=stream), torch.randn(after, generator=stream))
            for (before, after), edge in zip(pairwise(widths), edges, strict=True)
        ]
        return through_layers(img, layers, float(torch.rand((), generator=stream)))


def through_layers(image: Tensor, layers: Sequence[tuple[Tensor, Tensor]], share: float) -> Tensor:
    """Mix an image with what a shallow network makes of it, at the image's own Frobenius norm.

    Args:
        image: (channels, H, W).
        layers: kernels (out, in, k, k), k odd, and shifts (out,); leaky rectifiers (0.01) stand between them.
        share: of the network's result, in [0, 1].
    """
    x = image[None]
    for number, (kernels, shifts) in enumerate(layers):
        x = functional.leaky_relu(x) if number else x
        x = functional.conv2d(x, kernels, shifts, padding=kernels.shape[-1] // 2)
    mixed = share * x[0] + (1 - share) * image
    norm = torch.linalg.vector_norm(mixed)
    return mixed * (torch.linalg.vector_norm(image) / norm) if norm > 0 else image


class SynthSeg(BasicTransform):
    """An image drawn from the label map of a slice: image (1, H, W), segmentation (1, H, W)."""

    def apply(self, data_dict: dict[str, Any], **params: Any) -> dict[str, Any]:
        """Replace the image."""
        image, labels = data_dict["image"], data_dict["segmentation"]
        stream = _stream()
        count = int(torch.randint(_REGIONS[0], _REGIONS[1] + 1, (), generator=stream))
        regions = regions_of(image[0], labels[0].long(), count)
        total = max(1, int(regions.max()) + 1)
        knots = torch.randn(1, 1, _BIAS_KNOTS, _BIAS_KNOTS, generator=stream)
        knots *= torch.rand((), generator=stream) * _BIAS
        look = Look(
            means=torch.rand(total, generator=stream),
            deviations=torch.rand(total, generator=stream) * _DEVIATION,
            noise=torch.randn(regions.shape, generator=stream),
            bias=functional.interpolate(knots, regions.shape, mode="bicubic", align_corners=False)[0, 0],
        )
        return {**data_dict, "image": drawn(regions, look)[None]}


@dataclass(frozen=True)
class Look:
    """How an image is drawn.

    Attributes:
        means: grey value of each region, in [0, 1].
        deviations: of the grey values within it.
        noise: (H, W), standard normal.
        bias: (H, W), logarithm of the field that multiplies the image.
    """

    means: Tensor
    deviations: Tensor
    noise: Tensor
    bias: Tensor


def drawn(regions: Tensor, look: Look) -> Tensor:
    """An image (H, W) of regions (H, W), with mean 0 and deviation 1 as nnU-Net normalises its own; 0 where none is."""
    inside, which = regions >= 0, regions.clamp(min=0)
    image = (look.means[which] + look.deviations[which] * look.noise) * torch.exp(look.bias)
    values = image[inside]
    if values.numel() < 2:
        return torch.zeros_like(image)
    return torch.where(inside, (image - values.mean()) / values.std().clamp(min=1e-6), 0.0)


def regions_of(image: Tensor, labels: Tensor, count: int) -> Tensor:
    """Labels (H, W), whose background is told apart in regions by its grey values (k-means in one dimension).

    Args:
        image: (H, W).
        labels: (H, W) int64; 0 is background, 1 to C are classes, and -1 is what nnU-Net added around the slice.
        count: regions of the background; fewer where it has fewer grey values.

    Returns:
        (H, W) int64: regions of the background from 0 on, dark ones first, then the classes; -1 around the slice.
    """
    background = labels == 0
    values = image[background].double()
    regions = torch.where(labels > 0, labels + (count - 1), -1)
    if values.numel() == 0:
        return regions
    # By values, not by pixels: air is one value, and most of many images.
    centres = torch.quantile(values.unique(), (torch.arange(count, dtype=values.dtype) + 0.5) / count)
    for _ in range(_ROUNDS):
        nearest = (values[:, None] - centres).abs().argmin(1)
        sizes = torch.zeros_like(centres).index_add_(0, nearest, torch.ones_like(values))
        sums = torch.zeros_like(centres).index_add_(0, nearest, values)
        centres = torch.where(sizes > 0, sums / sizes.clamp(min=1), centres)
    regions[background] = (values[:, None] - centres).abs().argmin(1)
    return regions


def _stream() -> torch.Generator:
    """Random numbers of one image. nnU-Net seeds numpy in each of its workers, and torch in none."""
    return torch.Generator().manual_seed(int(np.random.randint(2**31)))
