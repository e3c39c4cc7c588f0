"""Figure 2 and the gallery of sites, drawn from panels that the clients released."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedfactory.evaluation.released_slices import Panel

# Told apart by eyes that do not tell red from green, and on dark and bright slices.
TRUTH_COLOUR = "#00d5ff"
PREDICTION_COLOUR = "#ff9500"
# The same bytes today and tomorrow: no date, no version of the drawing library.
_METADATA = {".png": {"Software": None}, ".pdf": {"CreationDate": None, "Producer": None, "Creator": None}}
_CLASS_STYLES = ("solid", "dashed", "dotted")


def draw_grid(panels: Sequence[Sequence[Panel | None]], rows: Sequence[str], titles: Sequence[Sequence[str]]) -> Figure:
    """Draw panels in a grid with contours of truth and, where there is one, prediction.

    Args:
        panels: one list per row, all of one length; None leaves a place empty.
        rows: labels on the left.
        titles: labels above the panels; a missing or shorter list leaves the rest without.

    Returns:
        A figure; the classes of a label map differ by line style.
    """
    size = 1.75
    figure, axes = plt.subplots(
        len(rows),
        len(panels[0]),
        figsize=(size * len(panels[0]) + 0.4, size * len(rows) + 0.7),
        squeeze=False,
        layout="constrained",
    )
    for line, (label, items) in enumerate(zip(rows, panels, strict=True)):
        for number, panel in enumerate(items):
            _draw_panel(axes[line, number], panel)
        axes[line, 0].set_ylabel(label, fontsize=9)
    for line, labels in zip(axes, titles, strict=False):
        for axis, label in zip(line, labels, strict=False):
            axis.set_title(label, fontsize=9)
    handles = [plt.Line2D([], [], color=TRUTH_COLOUR, label="truth")]
    if any(panel is not None and panel.prediction is not None for items in panels for panel in items):
        handles.append(plt.Line2D([], [], color=PREDICTION_COLOUR, label="prediction"))
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    return figure


def save(figure: Figure, path: Path, kind: str) -> None:
    """Write a figure as ``.png`` or ``.pdf`` without anything that changes from run to run."""
    figure.savefig(path, dpi=150, format=kind.lstrip("."), metadata=_METADATA[kind])


def _draw_panel(axis: Axes, panel: Panel | None) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    if panel is None:
        axis.set_axis_off()
        return
    for spine in axis.spines.values():
        spine.set_visible(False)
    axis.imshow(panel.image, cmap="gray", aspect=panel.aspect, interpolation="nearest")
    _contours(axis, panel.truth, TRUTH_COLOUR)
    if panel.prediction is not None:
        _contours(axis, panel.prediction, PREDICTION_COLOUR)


def _contours(axis: Axes, labels: np.ndarray, colour: str) -> None:
    for value in np.unique(labels[labels > 0]):
        style = _CLASS_STYLES[(int(value) - 1) % len(_CLASS_STYLES)]
        axis.contour(labels == value, levels=[0.5], colors=colour, linewidths=0.9, linestyles=style)
