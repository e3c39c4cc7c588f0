"""Segmentation by a support set: M_t, one binary pass per class, nothing is trained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedfactory.data.store import Volume
from fedfactory.methods.foundation.pretraining import Episodes
from fedfactory.methods.universeg.network import UniverSeg
from fedfactory.training.batches import batches, resize


@dataclass(frozen=True)
class SupportSet:
    """M_t as the network reads it.

    Attributes:
        images: (|M_t|, 1, s, s) float32 in [0, 1].
        masks: one for each class, (classes, |M_t|, 1, s, s) float32, 0 or 1.
    """

    images: Tensor
    masks: Tensor

    @classmethod
    def of(cls, m_t: Volume, classes: int, size: int, device: str) -> SupportSet:
        """Bring labelled slices to an edge of ``size`` pixels; a mask's pixel counts where its class has the half."""
        masks = np.stack([m_t.labels == label for label in range(1, classes + 1)])
        # In one batch: (classes * |M_t|, 1, S, S).
        flat = torch.from_numpy(masks.reshape(-1, 1, *masks.shape[2:]).astype(np.float32))
        small = (resize(flat, size) >= 0.5).float().unflatten(0, masks.shape[:2])
        return cls(_read(m_t.images, size).to(device), small.to(device))


@dataclass(frozen=True)
class UniverSegSegmenter:
    """Segment slices, each alone, so that a mask does not depend on its neighbours.

    Attributes:
        network: the network with its weights.
        support: M_t.
        size: edge that the network reads.
    """

    network: UniverSeg
    support: SupportSet
    size: int

    @torch.no_grad()
    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Segment slices (n, S, S) float32 in [-1, 1] as labels (n, S, S) uint8.

        A pixel gets the class with the largest probability if that is above one half, else background.
        """
        self.network.eval()
        device = self.support.images.device
        found = []
        for batch, count in batches(_read(images, self.size)):
            logits = torch.cat(
                [self.network(batch.to(device), self.support.images, masks) for masks in self.support.masks], 1
            )
            logits = torch.nn.functional.interpolate(
                logits, images.shape[1:], mode="bilinear", align_corners=False, antialias=False
            )
            largest, which = logits[:count].max(1)
            found.append(torch.where(largest > 0, which + 1, 0).to(torch.uint8).cpu().numpy())
        return np.concatenate(found)


def segment_tasks(network: UniverSeg, tasks: Episodes, stream: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Segment the first sample of each task by the others; there is no prompt to draw."""
    logits = network(tasks.images[:, 0], tasks.images[:, 1:], tasks.masks[:, 1:])
    return logits, tasks.masks[:, 0]


def _read(images: np.ndarray, size: int) -> Tensor:
    """Slices (n, S, S) in [-1, 1] as the network reads them: (n, 1, size, size) in [0, 1]."""
    return (resize(torch.from_numpy(np.array(images, dtype=np.float32))[:, None], size) + 1) / 2
