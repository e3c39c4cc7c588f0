"""Make a table from the scores of its cells: long CSV, Markdown, LaTeX and HTML."""

import argparse
import json
from pathlib import Path

from fedfactory.evaluation.render import RENDERERS, arrange
from fedfactory.evaluation.table import Column, Row, read_subject_means, summarise, write_long
from fedfactory.files import new_file
from fedfactory.paths import Layout
from fedfactory.script import run_script


def main(arguments: argparse.Namespace) -> None:
    """Read every cell that the specification names and write all forms of the table."""
    spec = json.loads(arguments.spec)
    columns = [Column(**column) for column in spec["columns"]]
    rows = [Row(**row) for row in spec["rows"]]
    layout = Layout(spec["run"])
    table = {}
    for column in columns:
        for row in rows:
            files = [
                Path(layout.cell(column.setup, column.target, row.method, seed, "scores.csv")) for seed in spec["seeds"]
            ]
            table[column.setup, column.target, row.method] = summarise([read_subject_means(file) for file in files])
    grid = arrange(table, columns, rows, spec["caption"])
    with new_file(arguments.out) as path:
        write_long(table, columns, rows, path)
    for ending, render in RENDERERS.items():
        with new_file(arguments.out.with_suffix(ending)) as path:
            path.write_text(render(grid), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", required=True, help="run, seeds, columns, rows and caption as JSON")
    parser.add_argument("--out", type=Path, required=True, help="the CSV; the other forms get their own ending")
    run_script(parser, main)
