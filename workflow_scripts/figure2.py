"""Draw Figure 2: one row per setup, one column per method, contours of truth and prediction."""

import argparse
import json
from pathlib import Path

from fedfactory.evaluation.figures import draw_grid, save
from fedfactory.evaluation.released_slices import read_panels
from fedfactory.orchestration.job import run_script
from fedfactory.storage.files import new_file


def main(arguments: argparse.Namespace) -> None:
    """Draw all panels, as PNG and PDF."""
    p = json.loads(arguments.parameters)
    files, width = arguments.panels, len(p["columns"])
    rows = [files[start : start + width] for start in range(0, len(files), width)]
    panels = [[panel for file in row for panel in read_panels(file).values()] for row in rows]
    figure = draw_grid(panels, p["rows"], [p["columns"]])
    for file, ending in ((arguments.out, ".png"), (arguments.pdf, ".pdf")):
        with new_file(file) as path:
            save(figure, path, ending)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--panels", type=Path, nargs="+", required=True, help="row by row")
    parser.add_argument("--parameters", required=True, help="labels of rows and columns as JSON")
    parser.add_argument("--out", type=Path, required=True, help="the PNG")
    parser.add_argument("--pdf", type=Path, required=True)
    run_script(parser, main)
