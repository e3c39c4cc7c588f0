"""Draw the gallery: a few training slices of every client with their labels."""

import argparse
import json
from pathlib import Path

from fedfactory.evaluation.figures import draw_grid, save
from fedfactory.evaluation.released_slices import read_preview
from fedfactory.orchestration.job import run_script
from fedfactory.storage.files import new_file

SLICES_PER_CLIENT = 2


def main(arguments: argparse.Namespace) -> None:
    """Draw one row per setup, two subjects of each client side by side."""
    rows, previews = json.loads(arguments.parameters), iter(arguments.previews)
    panels, titles = [], []
    for row in rows:
        panels.append([])
        titles.append([])
        for label in row["clients"]:
            found = read_preview(next(previews))[:SLICES_PER_CLIENT]
            panels[-1] += found + [None] * (SLICES_PER_CLIENT - len(found))
            titles[-1] += [label] * SLICES_PER_CLIENT
    width = max(len(row) for row in panels)
    padded = [row + [None] * (width - len(row)) for row in panels]
    figure = draw_grid(padded, [row["label"] for row in rows], titles)
    with new_file(arguments.out) as path:
        save(figure, path, ".png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--previews", type=Path, nargs="+", required=True, help="of each client, row by row")
    parser.add_argument("--parameters", required=True, help="labels of rows, and of the clients of each, as JSON")
    parser.add_argument("--out", type=Path, required=True)
    run_script(parser, main)
