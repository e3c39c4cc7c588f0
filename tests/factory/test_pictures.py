"""Pictures say which row is whose."""

import numpy as np

from fedfactory.factory.pictures import draw_quality, draw_rows


def test_every_row_is_named_and_every_block_has_its_title():
    def block(count: int) -> list[list[np.ndarray | None]]:
        return [[np.full((4, 4), row / 2)] * (count - 1) + [None] for row in range(2)]

    figure = draw_rows([("real", block(2)), ("several z", block(3))], ["PET", "CT"])
    assert [axis.get_ylabel() for axis in figure.axes if axis.get_ylabel()] == ["PET", "CT"]
    assert [axis.get_title(loc="left") for axis in figure.axes if axis.get_title(loc="left")] == ["real", "several z"]
    shown = [axis.images[0].get_array().max() for axis in figure.axes if axis.images]
    assert shown == [0, 0.5, 0, 0, 0.5, 0.5], "an empty place shows nothing"


def test_quality_is_drawn_over_the_rounds():
    rows = [
        {"round": number, "closeness": 9.0 - number, "real_to_real": 1.0, "alignment": 0.1, "alignment_se": 0.01}
        for number in range(3)
    ]
    figure = draw_quality({"PET": rows, "CT": rows[:2]})
    curves = [line for line in figure.axes[0].lines if len(line.get_xdata()) == 3]
    assert curves[0].get_label() == "PET" and list(curves[0].get_ydata()) == [9, 8, 7]
