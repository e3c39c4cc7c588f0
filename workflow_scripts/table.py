"""Make a table from the scores of its cells: long CSV, Markdown, LaTeX and HTML."""

import argparse
import json
from pathlib import Path

from fedfactory.evaluation.analysis import significance
from fedfactory.evaluation.render import RENDERERS, arrange
from fedfactory.evaluation.table import summarise, write_long
from fedfactory.evaluation.table_cells import Study
from fedfactory.orchestration.job import run_script
from fedfactory.storage.files import new_file


def main(arguments: argparse.Namespace) -> None:
    """Read every cell that the specification names and write all forms of the table."""
    spec = json.loads(arguments.spec)
    study = Study.read(spec)
    table = {key: summarise(seeds) for key, seeds in study.cells.items()}
    worse, about_tests = significance(study)
    grid = arrange(table, study.columns, study.rows, spec["caption"], worse, about_tests)
    with new_file(arguments.out) as path:
        write_long(table, study.columns, study.rows, path)
    for ending, render in RENDERERS.items():
        with new_file(arguments.out.with_suffix(ending)) as path:
            path.write_text(render(grid), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", required=True, help="run, seeds, columns, rows and caption as JSON")
    parser.add_argument("--out", type=Path, required=True, help="the CSV; the other forms get their own ending")
    run_script(parser, main)
