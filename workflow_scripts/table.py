"""Make a table from the scores of its cells: long CSV, Markdown, LaTeX and HTML."""

import argparse
import json
from pathlib import Path

from fedfactory.evaluation.render import RENDERERS
from fedfactory.evaluation.table_cells import Study
from fedfactory.evaluation.written import write_table
from fedfactory.orchestration.job import run_script
from fedfactory.provenance.story import read_story


def main(arguments: argparse.Namespace) -> None:
    """Read every cell and write all forms of the table."""
    spec = json.loads(arguments.parameters)
    study = Study.read(spec, arguments.scores)
    native = study.native([read_story(file) for file in arguments.stories])
    others = {ending: getattr(arguments, ending.removeprefix(".")) for ending in RENDERERS}
    write_table(study, spec["caption"], native, {".csv": arguments.out, **others})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=Path, nargs="+", required=True, help="by column, in it by row, in it by seed")
    parser.add_argument("--stories", type=Path, nargs="+", required=True, help="cell.json of each, in the same order")
    parser.add_argument("--parameters", required=True, help="seeds, columns, rows and caption as JSON")
    parser.add_argument("--out", type=Path, required=True, help="the CSV")
    for ending in RENDERERS:
        parser.add_argument(f"--{ending.removeprefix('.')}", type=Path, required=True, help="another form of it")
    run_script(parser, main)
