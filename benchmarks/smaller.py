"""What is left of structures on larger pixels: `python -m benchmarks.smaller --out docs/benchmarks`.

Lines and discs of some width, drawn at random on fine pixels, are brought to pixels of four times their edge and back,
as :func:`fedfactory.data.geometry.resample` does it; beside that each pixel takes the label with the largest share, as
most tools do. Widths are in new pixels. Means over twenty pictures, in percent.
"""

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import ndimage

from benchmarks import tables
from benchmarks.cells import ROOT
from fedfactory.data.geometry import resample
from fedfactory.evaluation.dice import dice

_EDGE, _RATIO, _PICTURES = 512, 4, 20
_WIDTHS = (0.25, 0.5, 1, 2, 4)


def main() -> None:
    """Write and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks")
    arguments = parser.parse_args()
    lines = []
    for shape, draw in (("lines", _lines), ("discs", _discs)):
        for width in _WIDTHS:
            pictures = [draw(np.random.default_rng(seed), width * _RATIO) for seed in range(_PICTURES)]
            line: dict[str, object] = {"structures": shape, "width": width}
            for name, smaller in (("", _as_here), (", largest share", _largest_share)):
                back = [smaller(picture) for picture in pictures]
                pairs = list(zip(back, pictures, strict=True))
                line[f"Dice{name}"] = round(100 * statistics.fmean(dice(a, b) for a, b in pairs))
                line[f"volume{name}"] = round(100 * statistics.fmean(a.sum() / b.sum() for a, b in pairs))
                line[f"pieces{name}"] = round(100 * statistics.fmean(_pieces(a) / _pieces(b) for a, b in pairs))
            lines.append(line)
    tables.write(lines, arguments.out, "smaller")


def _lines(rng: np.random.Generator, width: float) -> np.ndarray:
    """Six straight lines of any direction, (edge, edge) bool."""
    y, x = np.mgrid[:_EDGE, :_EDGE]
    found = np.zeros((_EDGE, _EDGE), bool)
    for _ in range(6):
        angle, offset = rng.uniform(0, np.pi), rng.uniform(-0.4, 0.4) * _EDGE
        distance = (x - _EDGE / 2) * np.cos(angle) + (y - _EDGE / 2) * np.sin(angle) - offset
        found |= np.abs(distance) < width / 2
    return found


def _discs(rng: np.random.Generator, width: float) -> np.ndarray:
    """Thirty discs."""
    y, x = np.mgrid[:_EDGE, :_EDGE]
    found = np.zeros((_EDGE, _EDGE), bool)
    for _ in range(30):
        row, column = rng.uniform(20, _EDGE - 20, 2)
        found |= np.hypot(y - row, x - column) < max(width, 1) / 2
    return found


def _as_here(picture: np.ndarray) -> np.ndarray:
    return _enlarged(picture, lambda label: resample(label, (_EDGE // _RATIO, _EDGE // _RATIO, 1), labels=True))


def _largest_share(picture: np.ndarray) -> np.ndarray:
    def smaller(label: np.ndarray) -> np.ndarray:
        edge = _EDGE // _RATIO
        return (label.reshape(edge, _RATIO, edge, _RATIO).mean(axis=(1, 3)) > 0.5).astype(np.uint8)[..., None]

    return _enlarged(picture, smaller)


def _enlarged(picture: np.ndarray, smaller: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    small = smaller(picture[..., None].astype(np.uint8))
    return resample(small, (_EDGE, _EDGE, 1), labels=True)[..., 0] > 0


def _pieces(picture: np.ndarray) -> int:
    return int(ndimage.label(picture, np.ones((3, 3)))[1])


if __name__ == "__main__":
    main()
