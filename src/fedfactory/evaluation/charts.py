"""Charts of a table: subjects by cell, methods by targets, ranks, cost, and what training looked like."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedfactory.evaluation.choice import Choice
from fedfactory.evaluation.statistics import Comparison, Ranking
from fedfactory.evaluation.table import Column
from fedfactory.evaluation.table_cells import Key, Study

_COLOURS = plt.colormaps["tab10"]
_MEGABYTE = 1e6


def box_plots(study: Study) -> Figure:
    """Dice of every test subject: a panel for each target, a box for each method."""
    figure, axes, panels = _panel_for_each_target(
        study, (3.2, 0.26 * len(study.rows) + 0.7), margins=(1, 0), sharex=True
    )
    labels = [row.label for row in reversed(study.rows)]
    for axis, column in panels:
        values = [study.values(column, row.method) for row in reversed(study.rows)]
        places = np.arange(1, len(values) + 1)
        axis.boxplot(values, orientation="horizontal", positions=places, widths=0.6, showfliers=False)
        for place, own in zip(places, values, strict=True):
            axis.plot(own, np.full(len(own), place), ".", color=_COLOURS(0), markersize=5, alpha=0.8)
        axis.set_yticks(places, labels if axis in axes[:, 0] else [""] * len(labels), fontsize=8)
        axis.set_xlim(-2, 102)
        axis.set_title(f"{column.setup_label} {column.label}{'' if column.federated else '*'}", fontsize=9)
        axis.grid(axis="x", alpha=0.3)
    for axis in axes[-1]:
        axis.set_xlabel("Dice (%)", fontsize=8)
    return figure


def heat_map(study: Study) -> Figure:
    """Mean Dice, methods by targets, in colour and in figures."""
    means = np.array([[study.mean(column, row.method) for column in study.columns] for row in study.rows])
    figure, axis = plt.subplots(
        figsize=(0.75 * means.shape[1] + 2.2, 0.38 * means.shape[0] + 1.2), layout="constrained"
    )
    picture = axis.imshow(means, vmin=0, vmax=100, cmap="viridis", aspect="auto")
    for (line, column), value in np.ndenumerate(means):
        axis.text(
            column, line, f"{value:.0f}", ha="center", va="center", fontsize=8, color="white" if value < 65 else "black"
        )
    names = [f"{column.setup_label}\n{column.label}{'' if column.federated else '*'}" for column in study.columns]
    axis.set_xticks(range(len(names)), names, fontsize=8)
    axis.set_yticks(range(len(study.rows)), [row.label for row in study.rows], fontsize=8)
    figure.colorbar(picture, ax=axis, label="Dice (%)", shrink=0.8)
    return figure


def rank_diagram(study: Study, ranks: Mapping[str, Ranking], tests: Mapping[str, Sequence[Comparison]]) -> Figure:
    """Mean ranks of each setup; a bar joins neighbours of which no two differ (critical-difference plot).

    Demsar (JMLR 2006) draws the bars by Nemenyi's test; here by the paired tests with correction that the analysis
    reports, as Benavoli et al. (JMLR 2016) advise.
    """
    labels = {row.method: row.label for row in study.rows}
    figure, axes = plt.subplots(
        1,
        len(study.setups),
        figsize=(4.2 * len(study.setups), 0.28 * len(labels) + 1.2),
        squeeze=False,
        layout="constrained",
    )
    for axis, (setup, columns) in zip(axes[0], study.setups.items(), strict=True):
        mean_ranks = ranks[setup].mean_ranks
        order = sorted(mean_ranks, key=mean_ranks.__getitem__)
        axis.plot([mean_ranks[method] for method in order], range(len(order)), "o", color=_COLOURS(0))
        for number, (first, last) in enumerate(alike(order, tests[setup])):
            axis.plot([len(order) + 0.6 + 0.4 * number] * 2, [first, last], color="black", linewidth=3)
        axis.set_yticks(range(len(order)), [labels[method] for method in order], fontsize=8)
        axis.set_xticks(range(1, len(order) + 1))
        axis.tick_params(axis="x", labelsize=8)
        axis.set_xlim(left=0.5)
        axis.margins(y=0.08)
        axis.invert_yaxis()
        axis.grid(axis="x", alpha=0.3)
        axis.set_title(f"{columns[0].setup_label}: mean rank over {ranks[setup].n} subjects, 1 is best", fontsize=9)
    return figure


def alike(order: Sequence[str], pairs: Sequence[Comparison]) -> list[tuple[int, int]]:
    """Longest runs of neighbours of which no two differ significantly, as (first, last) of two or more.

    A pair that is significant lies in no run together. One that is not may lie in none either, where a method between
    the two differs from one of them.

    Args:
        order: methods by rank.
        pairs: comparisons of all pairs.
    """
    differ = {frozenset((pair.first, pair.second)) for pair in pairs if pair.significant}
    runs: list[tuple[int, int]] = []
    for first in range(len(order)):
        last = first
        while last + 1 < len(order) and not any(
            frozenset((order[last + 1], method)) in differ for method in order[first : last + 1]
        ):
            last += 1
        if last > first and not (runs and runs[-1][1] >= last):
            runs.append((first, last))
    return runs


def cost_plot(study: Study, costs: Mapping[Key, Mapping[str, Any]]) -> Figure:
    """Mean Dice of a method in each setup against the time of one cell, what it shares with others included.

    Points are numbers, which the legend explains: names would lie over each other.
    """
    size = (3.4 * len(study.setups) + 2.6, max(3.6, 0.17 * len(study.rows) + 0.6))
    figure, axes = plt.subplots(1, len(study.setups), figsize=size, squeeze=False, layout="constrained", sharey=True)
    for axis, (setup, columns) in zip(axes[0], study.setups.items(), strict=True):
        for number, row in enumerate(study.rows):
            seconds = np.mean([costs[setup, column.target, row.method]["with_shared"]["seconds"] for column in columns])
            dice = np.mean([study.mean(column, row.method) for column in columns])
            mark = {"marker": f"${number + 1}$", "markersize": 9 if number > 8 else 6, "linestyle": "none"}
            axis.plot(seconds / 60, dice, color=_COLOURS(number % 10), label=row.label, **mark)
        axis.set_xscale("log")
        axis.margins(x=0.1)
        axis.set_title(columns[0].setup_label, fontsize=9)
        axis.set_xlabel("minutes of all jobs behind a cell", fontsize=8)
        axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel("mean Dice (%)", fontsize=8)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right center", fontsize=7)
    return figure


def exchange_plot(study: Study, costs: Mapping[Key, Mapping[str, Any]]) -> Figure:
    """Megabytes that crossed borders of sites for a cell, both ways: mean over the targets of a setup."""
    figure, axis = plt.subplots(figsize=(7.5, 0.34 * len(study.rows) + 1.2), layout="constrained")
    places, height = np.arange(len(study.rows)), 0.8 / len(study.setups)
    for number, (setup, columns) in enumerate(study.setups.items()):
        sent = [
            np.mean([costs[setup, c.target, row.method]["with_shared"]["bytes_exchanged"] for c in columns]) / _MEGABYTE
            for row in study.rows
        ]
        axis.barh(places + number * height, sent, height, label=columns[0].setup_label, color=_COLOURS(number))
    axis.set_yticks(places + 0.4 - height / 2, [row.label for row in study.rows], fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel("megabytes across borders of sites (nothing: a method that exchanges nothing)", fontsize=8)
    axis.legend(fontsize=8)
    return figure


def training_curves(study: Study, choices: Mapping[Key, Choice]) -> Figure:
    """Validation Dice of the states of each method among which validation volumes choose, a panel for each target.

    Args:
        study: the table.
        choices: (setup, target, method) -> Dice of every state.
    """
    figure, axes, panels = _panel_for_each_target(study, (3.2, 2.3), margins=(0, 0.6), sharey=True)
    shown = {}
    for axis, column in panels:
        for colour, row in enumerate(study.rows):
            choice = choices.get((column.setup, column.target, row.method))
            last = max((state.step for state in choice.dice), default=0) if choice else 0
            for steps, dice in choice.curves().values() if choice else ():
                shares, percent = [100 * step / max(last, 1) for step in steps], [100 * value for value in dice]
                (shown[row.label],) = axis.plot(shares, percent, ".-", color=_COLOURS(colour % 10), linewidth=1)
        axis.set_title(f"{column.setup_label} {column.label}", fontsize=9)
        axis.set_ylim(0, 100)
        axis.grid(alpha=0.3)
    for axis in axes[:, 0]:
        axis.set_ylabel("validation Dice (%)", fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("share of the training (%)", fontsize=8)
    figure.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=5, frameon=False, fontsize=8)
    return figure


def _panel_for_each_target(
    study: Study, size: tuple[float, float], margins: tuple[float, float], **shared: bool
) -> tuple[Figure, np.ndarray, list[tuple[Axes, Column]]]:
    """A row of panels for each setup; places without a target stay empty.

    Args:
        study: the table.
        size: width and height of a panel in inches.
        margins: what is added to the width and height of them all.
        shared: ``sharex`` or ``sharey``.

    Returns:
        The figure, all axes (setups, most targets of a setup), and those of each target.
    """
    rows, width = len(study.setups), max(len(columns) for columns in study.setups.values())
    whole = (size[0] * width + margins[0], size[1] * rows + margins[1])
    figure, axes = plt.subplots(rows, width, figsize=whole, squeeze=False, layout="constrained", **shared)
    panels: list[Any] = []
    for line, columns in zip(axes, study.setups.values(), strict=True):
        panels += zip(line, columns, strict=False)
        for axis in line[len(columns) :]:
            axis.set_axis_off()
    return figure, axes, panels
