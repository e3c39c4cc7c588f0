"""Draw Figure 2: one row per setup, one column per method, contours of truth and prediction."""

import argparse
import json
from pathlib import Path

from fedfactory.evaluation.figures import draw_grid, save
from fedfactory.evaluation.released_slices import read_panels
from fedfactory.orchestration.job import run_script
from fedfactory.storage.files import new_file


def main(arguments: argparse.Namespace) -> None:
    """Draw the panels that the specification names, as PNG and PDF."""
    spec = json.loads(arguments.spec)
    panels = [[panel for file in row["panels"] for panel in read_panels(Path(file)).values()] for row in spec["rows"]]
    figure = draw_grid(panels, [row["label"] for row in spec["rows"]], [spec["columns"]])
    for ending in (".png", ".pdf"):
        with new_file(arguments.out.with_suffix(ending)) as path:
            save(figure, path, ending)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", required=True, help="rows (label, panels) and column labels as JSON")
    parser.add_argument("--out", type=Path, required=True, help="the PNG; the PDF is written beside it")
    run_script(parser, main)
