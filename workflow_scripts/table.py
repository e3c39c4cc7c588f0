"""Make a table from the scores of its cells: long CSV, Markdown, LaTeX and HTML."""

import argparse
import json
from pathlib import Path

from fedfactory.evaluation.analysis import best, bold
from fedfactory.evaluation.render import RENDERERS, arrange
from fedfactory.evaluation.table import summarise, write_long
from fedfactory.evaluation.table_cells import Study
from fedfactory.orchestration.job import run_script
from fedfactory.provenance.story import read_story
from fedfactory.storage.files import new_file


def main(arguments: argparse.Namespace) -> None:
    """Read every cell and write all forms of the table."""
    spec = json.loads(arguments.parameters)
    study = Study.read(spec, arguments.scores)
    table = {key: summarise(seeds) for key, seeds in study.cells.items()}
    native = study.native([read_story(file) for file in arguments.stories])
    counts = {method: study.label_counts(method) for method in study.methods}
    grid = arrange(table, study.columns, study.rows, spec["caption"], counts, bold(best(study)), native)
    with new_file(arguments.out) as path:
        write_long(table, study.columns, study.rows, study.labels, path)
    for ending, render in RENDERERS.items():
        with new_file(getattr(arguments, ending.removeprefix("."))) as path:
            path.write_text(render(grid), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=Path, nargs="+", required=True, help="by column, in it by row, in it by seed")
    parser.add_argument("--stories", type=Path, nargs="+", required=True, help="cell.json of each, in the same order")
    parser.add_argument("--parameters", required=True, help="seeds, columns, rows and caption as JSON")
    parser.add_argument("--out", type=Path, required=True, help="the CSV")
    for ending in RENDERERS:
        parser.add_argument(f"--{ending.removeprefix('.')}", type=Path, required=True, help="another form of it")
    run_script(parser, main)
