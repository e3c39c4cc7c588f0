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
    spec = json.loads(arguments.spec)
    found = [read_panels(Path(row["panels"])) for row in spec["rows"]]
    panels = [[row[method] for method in spec["methods"]] for row in found]
    titles = [[panel.title for panel in row] for row in panels]
    titles[0] = [f"{label}\n{title}" for label, title in zip(spec["methods"].values(), titles[0], strict=True)]
    figure = draw_grid(panels, [row["label"] for row in spec["rows"]], titles)
    with new_file(arguments.out) as path:
        save(figure, path, ".png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--spec", required=True, help="rows (label, file of panels) and methods (name -> label) as JSON"
    )
    parser.add_argument("--out", type=Path, required=True, help="the PNG")
    run_script(parser, main)
