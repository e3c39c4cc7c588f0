"""Say what a table's figures are worth: intervals, tests, ranks, fairness over sites, and what may be concluded."""

import argparse
import json
from pathlib import Path

from fedfactory.evaluation.table_cells import Study
from fedfactory.evaluation.written import write_analysis
from fedfactory.orchestration.job import run_script


def main(arguments: argparse.Namespace) -> None:
    """Analyse all cells."""
    spec = json.loads(arguments.parameters)
    study = Study.read(spec, arguments.scores)
    write_analysis(study, spec, arguments.paper, arguments.paper_subjects, arguments.out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=Path, nargs="+", required=True, help="by column, in it by row, in it by seed")
    parser.add_argument("--parameters", required=True, help="seeds, columns, rows and caption as JSON")
    parser.add_argument("--paper", type=Path, required=True, help="the paper's table")
    parser.add_argument("--paper-subjects", type=Path, required=True, help="numbers of its test cases")
    parser.add_argument("--out", type=Path, required=True, help="folder of the analysis")
    run_script(parser, main)
