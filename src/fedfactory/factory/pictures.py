"""Pictures of a factory: samples beside real images, morphing between two clients, quality over the training."""

from collections.abc import Mapping, Sequence

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

_EDGE = 1.05


def draw_rows(blocks: Sequence[tuple[str, Sequence[Sequence[np.ndarray]]]], rows: Sequence[str]) -> Figure:
    """Draw blocks of images side by side, one row for each client.

    Args:
        blocks: title and, for each row, images (S, S) in [-1, 1], top row first; None among them leaves a place empty.
        rows: labels on the left.
    """
    widths = [max(map(len, images)) for _, images in blocks]
    figure = plt.figure(figsize=(_EDGE * (sum(widths) + 0.3 * len(widths)) + 0.4, _EDGE * len(rows) + 0.45))
    parts = figure.add_gridspec(1, len(blocks), width_ratios=widths, wspace=0.06, left=0.05, right=0.995, bottom=0.01)
    for block, (title, images) in enumerate(blocks):
        width = widths[block]
        grid = parts[block].subgridspec(len(rows), width, wspace=0.03, hspace=0.03)
        for line, places in enumerate(images):
            for column, image in enumerate(places):
                axis = figure.add_subplot(grid[line, column])
                axis.set_xticks([])
                axis.set_yticks([])
                axis.set_frame_on(False)
                if image is not None:
                    axis.imshow(image, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
                if line == 0 and column == 0:
                    axis.set_title(title, fontsize=9, loc="left")
                if block == column == 0:
                    axis.set_ylabel(rows[line], fontsize=9)
    return figure


def draw_quality(quality: Mapping[str, Sequence[Mapping[str, float]]]) -> Figure:
    """Draw closeness over the rounds for each client (label -> rows), with the distance between real images."""
    figure, axes = plt.subplots(1, 2, figsize=(8, 2.9), layout="constrained")
    for number, (label, rows) in enumerate(quality.items()):
        rounds, colour = [row["round"] for row in rows], f"C{number}"
        axes[0].plot(rounds, [row["closeness"] for row in rows], color=colour, label=label)
        axes[0].axhline(rows[-1]["real_to_real"], color=colour, linestyle=":", linewidth=1)
        axes[1].errorbar(
            rounds, [row["alignment"] for row in rows], [2 * row["alignment_se"] for row in rows], color=colour
        )
    axes[0].set_yscale("log")
    axes[0].set(xlabel="round", ylabel="distance from real images (dotted: real to real)")
    axes[1].axhline(0, color="grey", linewidth=0.8)
    axes[1].set(xlabel="round", ylabel="alignment (± 2 s.e.)")
    axes[0].legend(frameon=False, fontsize=9)
    return figure
