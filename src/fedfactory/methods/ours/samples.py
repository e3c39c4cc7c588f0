"""What a training draws its batches from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedfactory.methods.ours.field_of_view import FieldOfView
from fedfactory.training.batches import random_batch, resize

SYMMETRIES = {"none": 1, "mirror": 2, "square": 8}
"""How many symmetries are drawn from: of anatomy that has a side, that has none, and that has no direction at all."""

AVERAGED = {"none": (0,), "mirror": (0, 1), "square": (0, 2, 4, 6)}
"""Over which of them a prediction is averaged: left-right, or quarter turns."""


@dataclass(frozen=True)
class Samples:
    """Images with their labels, if any.

    Attributes:
        images: (n, 1, s, s) float32 in [-1, 1], as the encoder reads them.
        labels: (n, S, S) uint8, of the size of the store's slices; None without labels.
    """

    images: Tensor
    labels: Any

    def __len__(self) -> int:
        return len(self.images)

    def where(self, chosen: Tensor) -> Samples:
        """Those that a boolean (n,) marks."""
        return Samples(self.images[chosen], None if self.labels is None else self.labels[chosen])

    def draw(self, count: int, stream: torch.Generator) -> Tensor:
        """Indices (count,) of a random batch; without repetition where there are enough."""
        return random_batch(len(self), count, stream)


def symmetry_of(symmetries: str, stream: torch.Generator) -> int:
    """Draw one of the symmetries that a setup's images have: 0 to 7 for :func:`moved_by`."""
    return int(torch.randint(SYMMETRIES[symmetries], (), generator=stream))


def moved_by(symmetry: int, x: Tensor) -> Tensor:
    """Images or labels (..., s, s) after one of the eight symmetries of the square.

    Args:
        symmetry: 0 for none, 1 for left-right, then the others.
        x: what to move.
    """
    x = torch.rot90(x, symmetry // 2, (-2, -1))
    return x.flip(-1) if symmetry % 2 else x


def moved_back(symmetry: int, x: Tensor) -> Tensor:
    """What :func:`moved_by` moved, where it was."""
    return torch.rot90(x.flip(-1) if symmetry % 2 else x, -(symmetry // 2), (-2, -1))


def slices_of(
    images: np.ndarray,
    labels: np.ndarray | None,
    classes: int,
    frame: FieldOfView,
    size: int,
    device: str,
) -> Samples:
    """Prepare slices of a client.

    Args:
        images: (n, S, S) float32 in [-1, 1].
        labels: (n, S, S) uint8, or None.
        classes: foreground classes.
        frame: to the source's field of view.
        size: edge that the encoder reads.
        device: where the samples go.
    """
    moved = frame.images(torch.from_numpy(np.array(images, dtype=np.float32))[:, None], size)
    masks = None
    if labels is not None:
        masks = frame.labels(torch.from_numpy(np.array(labels)), classes).to(device)
    return Samples(moved.to(device), masks)


def rendered(images: np.ndarray, labels: np.ndarray | None, size: int, device: str) -> Samples:
    """Prepare images (n, S, S) that the factory rendered in the source's field of view."""
    moved = resize(torch.from_numpy(images)[:, None], size).to(device)
    return Samples(moved, None if labels is None else torch.from_numpy(labels).to(device))


def stack(volumes: Iterable[np.ndarray]) -> np.ndarray:
    """All slices of volumes (n_i, S, S) as one array."""
    return np.concatenate([np.asarray(volume) for volume in volumes])
