"""FedDG's boundary-oriented contrast: features along a contour are alike, and unlike those of the background around."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

TEMPERATURE = 0.05


def boundary_and_ring(masks: Tensor, inner: int = 1, outer: int = 5) -> tuple[Tensor, Tensor]:
    """The contour of masks, and the background ring around them, by erosion and dilation with a cross.

    Args:
        masks: (n, S, S) bool, the foreground; beyond the border lies background.
        inner: erosions: the contour is what they take away.
        outer: dilations: the ring is what they add.

    Returns:
        Two (n, S, S) bool.
    """
    solid = masks[:, None].float()
    # Masks shrink as the background grows, from beyond the border as well.
    background = F.pad(1 - solid, [inner] * 4, value=1.0)
    contour = solid * _grown(background, inner)[..., inner:-inner, inner:-inner]
    return contour[:, 0] > 0.5, (_grown(solid, outer) - solid)[:, 0] > 0.5


def _grown(solid: Tensor, times: int) -> Tensor:
    """Masks (n, 1, height, width) of 0 and 1 after so many dilations with a cross."""
    for _ in range(times):
        beside = F.max_pool2d(solid, (1, 3), stride=1, padding=(0, 1))
        solid = torch.maximum(beside, F.max_pool2d(solid, (3, 1), stride=1, padding=(1, 0)))
    return solid


def mean_embeddings(features: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
    """Mean feature vector over each region.

    Args:
        features: (n, C, S, S).
        regions: (n, S, S) bool.

    Returns:
        (m, C) for the m regions that are not empty, and which ones they are, (n,) bool.
    """
    there = regions.flatten(1).any(1)
    weights = regions[there, None].to(features.dtype)
    means = (features[there] * weights).sum((2, 3)) / weights.sum((2, 3))
    return means, there


def boundary_contrast(features: Tensor, masks: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """NT-Xent over the mean embeddings of contours and of rings (FedDG, equation 7).

    For every ordered pair of one kind, the negative logarithm of its similarity's share among itself and the
    similarities of the first one with all of the other kind; their mean over all pairs. Other pairs of the kind do not
    compete.

    Args:
        features: (n, C, S, S): of the last layer before the segmentation; images of both parts of an episode.
        masks: (n, S, S) bool.
        temperature: of the similarities.

    Returns:
        A scalar; zero where no kind has two embeddings.
    """
    contour, ring = boundary_and_ring(masks)
    parts = [mean_embeddings(features, region)[0] for region in (contour, ring)]
    vectors = F.normalize(torch.cat(parts), dim=1)
    kinds = torch.cat([torch.full((len(part),), kind, device=features.device) for kind, part in enumerate(parts)])
    alike = kinds[:, None] == kinds[None, :]
    pairs = alike & ~torch.eye(len(vectors), dtype=torch.bool, device=features.device)
    if not pairs.any():
        return features.sum() * 0
    similarity = vectors @ vectors.T / temperature
    others = similarity.masked_fill(alike, float("-inf")).logsumexp(1, keepdim=True).expand_as(similarity)
    return (torch.logaddexp(similarity[pairs], others[pairs]) - similarity[pairs]).mean()
