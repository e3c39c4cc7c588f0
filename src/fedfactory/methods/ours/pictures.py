"""Pictures of the adaptation: synthetic source slices, a target's slices on their way, and curves."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from fedfactory.data.geometry import Orientation, as_picture
from fedfactory.data.store import Volume
from fedfactory.evaluation.choice import Choice
from fedfactory.evaluation.figures import draw_grid, plt
from fedfactory.evaluation.released_slices import Panel
from fedfactory.methods.ours.encoder import SOURCE, TARGET
from fedfactory.methods.ours.model import Stored
from fedfactory.methods.ours.segmenter import mean_of
from fedfactory.methods.ours.synthetic import SyntheticSet
from fedfactory.training.loop import LOSSES

_COLUMNS, _ROWS = 8, 3
_WAYS = {SOURCE: "S_s on the translation", TARGET: "S_t on the reconstruction"}


def draw_synthetic(found: SyntheticSet, counts: dict[str, int], orientation: Orientation) -> Figure:
    """Synthetic source slices with the masks that S_s gave them: one volume a row, in the order of its positions."""
    rows, labels = [], []
    for volume in np.unique(found.volume)[:_ROWS]:
        own = np.flatnonzero(found.volume == volume)
        chosen = own[np.linspace(0, len(own) - 1, min(_COLUMNS, len(own))).round().astype(int)]
        panels = [_panel(found.images[i], found.labels[i], orientation) for i in chosen]
        rows.append(panels + [None] * (_COLUMNS - len(panels)))
        labels.append(f"z {volume}")
    figure = draw_grid(rows, labels, [[f"kept {counts['kept']} of {counts['sampled']}"]])
    figure.legends[0].texts[0].set_text("mask by the source branch")
    return figure


def draw_adaptation(stored: Stored, read: Sequence[int], slices: Volume, orientation: Orientation) -> Figure:
    """Slices on their way: image, reconstruction, translation, the way back, and the masks of both branches.

    Everything is in the source's field of view but for the last three columns, which are in the target's own.
    """
    chosen = np.linspace(0, len(slices.images) - 1, min(_ROWS, len(slices.images))).round().astype(int)
    images = np.asarray(slices.images[chosen])
    truth = np.zeros(images.shape, np.uint8) if slices.labels is None else slices.labels[chosen]
    segment = stored.segmenter()
    framed, renderings = segment.framed(images), segment.render(images)
    back = segment.render_back(renderings[SOURCE])
    found = segment.by_branch(images)
    masks = {_WAYS[label]: probabilities.argmax(1) for label, probabilities in found.items()}
    masks["used"] = mean_of(found, read).argmax(1)
    rows = []
    for i in range(len(images)):
        plain = [framed[i], *(_image(renderings[label][i]) for label in (TARGET, SOURCE)), _image(back[i])]
        panels = [_panel(image, np.zeros_like(image, np.uint8), orientation) for image in plain]
        rows.append([*panels, *(_panel(images[i], truth[i], orientation, mask[i]) for mask in masks.values())])
    titles = ["image", "reconstruction", "translation", "way back", *masks]
    return draw_grid(rows, [f"slice {number}" for number in chosen + 1], [titles])


def read_losses(folder: Path) -> list[dict[str, str]]:
    """Rows of the losses of a training."""
    with (folder / LOSSES).open(newline="") as file:
        return list(csv.DictReader(file))


def draw_curves(losses: Sequence[dict[str, str]], choice: Choice | None, perceptual: str) -> Figure:
    """Terms of the loss over the steps, with the name of the perceptual one, and validation Dice of the states."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
    for term in dict.fromkeys(row["term"] for row in losses):
        rows = [row for row in losses if row["term"] == term]
        axes[0].plot([int(row["step"]) for row in rows], [float(row["value"]) for row in rows], label=term)
    axes[0].set_yscale("log")
    axes[0].set(xlabel="step", ylabel="loss (weighted)")
    axes[0].legend(frameon=False, fontsize=7, ncols=2)
    axes[0].set_title(f"reconstruction: MSE and {perceptual}", fontsize=8)
    axes[1].set(xlabel="step", ylabel="validation Dice" if choice else "no validation")
    if choice:
        for way, curve in choice.curves().items():
            axes[1].plot(*curve, "o-", label=way)
        taken = choice.state
        axes[1].plot(taken.step, choice.dice[taken], "ko", markersize=10, fillstyle="none", label="taken")
        axes[1].legend(frameon=False, fontsize=8)
    return figure


def _image(rendering: torch.Tensor) -> np.ndarray:
    return rendering[0].clamp(-1, 1).cpu().numpy()


def _panel(
    image: np.ndarray, truth: np.ndarray, orientation: Orientation, prediction: np.ndarray | None = None
) -> Panel:
    """Images and labels of one size, so that contours lie where they belong."""
    size = max(image.shape[-1], truth.shape[-1])
    return Panel(
        as_picture(_enlarged(image, size), orientation),
        as_picture(_enlarged(truth, size), orientation),
        None if prediction is None else as_picture(_enlarged(prediction, size), orientation),
    )


def _enlarged(plane: np.ndarray, size: int) -> np.ndarray:
    places = np.arange(size) * plane.shape[-1] // size
    return plane[np.ix_(places, places)]
