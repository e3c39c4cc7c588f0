"""A picture of what the federated CycleGAN does to a target's slices."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from fedfactory.data.geometry import Orientation, as_picture
from fedfactory.evaluation.figures import draw_grid
from fedfactory.evaluation.released_slices import Panel
from fedfactory.methods.fedmedgan.training import TranslatingSegmenter

_ROWS = 3


def draw_translation(segment: TranslatingSegmenter, images: np.ndarray, orientation: Orientation) -> Figure:
    """Slices of one of the target's volumes, their translations, and what the source's network marks on these.

    Args:
        segment: the trained method.
        images: all slices of the volume, (n, S, S) float32 in [-1, 1].
        orientation: of the setup.
    """
    translated = segment.translate(images)
    masks = segment.segment(translated)
    rows, chosen = [], np.linspace(0, len(images) - 1, _ROWS + 2).round().astype(int)[1:-1]
    for number in chosen:
        none = np.zeros_like(masks[number])
        found = [(images[number], None), (translated[number], None), (translated[number], masks[number])]
        rows.append(
            [
                Panel(as_picture(image, orientation), none, None if mask is None else as_picture(mask, orientation))
                for image, mask in found
            ]
        )
    titles = [["image", "translation", "its mask"]]
    return draw_grid(rows, [f"slice {number + 1}" for number in chosen], titles)
