"""Batches of images on their way into networks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

_PIXELS, _LARGEST = 2**15, 8


def resize(images: Tensor, size: int) -> Tensor:
    """Bring images (count, 1, S, S) to an edge of ``size``: mean of blocks where S is a multiple, else bilinear."""
    edge = images.shape[-1]
    if edge == size:
        return images
    if edge % size == 0:
        return F.avg_pool2d(images, edge // size)
    return F.interpolate(images, (size, size), mode="bilinear", align_corners=False, antialias=edge > size)


def resize_labels(labels: np.ndarray, size: int) -> np.ndarray:
    """Bring label maps (count, S, S) uint8 to an edge of ``size``: each pixel gets the label with the largest share."""
    if labels.shape[-1] == size:
        return labels
    shares = [
        resize(torch.from_numpy((labels == label).astype(np.float32))[:, None], size)
        for label in range(int(labels.max(initial=0)) + 1)
    ]
    return torch.cat(shares, 1).argmax(1).to(torch.uint8).numpy()


def random_batch(available: int, count: int, stream: torch.Generator) -> Tensor:
    """Indices (count,) of a random batch of so many images; without repetition where there are enough."""
    if count <= available:
        return torch.randperm(available, generator=stream)[:count]
    return torch.randint(available, (count,), generator=stream)


def batch_length(count: int, pixels: int) -> int:
    """How many of ``count`` images of so many pixels make a batch that fits into memory; batches are about equal."""
    most = max(1, min(_LARGEST, _PIXELS // pixels))
    return -(-count // -(-count // most))


def batches(images: Tensor) -> Iterator[tuple[Tensor, int]]:
    """Parts that fit into memory whatever the size of the images, all of one length.

    The last part is filled up with copies: fast kernels depend on the number of images, if only in the last digit, and
    the same slice shall give the same bytes wherever it stands in a stack.

    Yields:
        Images, and how many of them count.
    """
    length = batch_length(len(images), images.shape[-2] * images.shape[-1])
    for part in images.split(length):
        yield torch.cat([part, part[-1:].expand(length - len(part), -1, -1, -1)]), len(part)
