"""Draw the worst subject of each cell: one row per target, one column per method."""

import argparse
import json
from pathlib import Path

from fedfactory.evaluation.figures import draw_grid, save
from fedfactory.evaluation.released_slices import read_panels
from fedfactory.orchestration.job import run_script
from fedfactory.storage.files import new_file


def main(arguments: argparse.Namespace) -> None:
    """Draw the panels that the targets released."""
    p = json.loads(arguments.parameters)
    found = [read_panels(file) for file in arguments.panels]
    panels = [[row[method] for method in p["methods"]] for row in found]
    titles = [[panel.title for panel in row] for row in panels]
    titles[0] = [f"{label}\n{title}" for label, title in zip(p["columns"], titles[0], strict=True)]
    figure = draw_grid(panels, p["rows"], titles)
    with new_file(arguments.out) as path:
        save(figure, path, ".png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--panels", type=Path, nargs="+", required=True, help="a file for each target")
    parser.add_argument("--parameters", required=True, help="labels of rows and columns, and names of methods as JSON")
    parser.add_argument("--out", type=Path, required=True, help="the PNG")
    run_script(parser, main)
