"""Say what a table's figures are worth: intervals, tests, ranks, fairness over sites, and what may be concluded."""

import argparse
import json
from pathlib import Path

from fedfactory.evaluation import paper
from fedfactory.evaluation.analysis import (
    best,
    best_rows,
    class_rows,
    comparison_rows,
    comparisons,
    federation_rows,
    metric_rows,
    rank_rows,
    rankings,
    site_rows,
)
from fedfactory.evaluation.analysis_page import to_page
from fedfactory.evaluation.conclusions import conclude
from fedfactory.evaluation.table_cells import Study
from fedfactory.orchestration.job import run_script
from fedfactory.storage.files import new_folder
from fedfactory.storage.tables import write_rows


def main(arguments: argparse.Namespace) -> None:
    """Analyse all cells."""
    spec = json.loads(arguments.parameters)
    study = Study.read(spec, arguments.scores)
    tests, ranks, chances = comparisons(study), rankings(study), best(study)
    tables = {
        "metrics": list(metric_rows(study)),
        "classes": list(class_rows(study)),
        "best": best_rows(chances),
        "comparisons": comparison_rows(tests),
        "ranks": rank_rows(ranks),
        "sites": list(site_rows(study)),
        "federation": list(federation_rows(study, spec["reference"])),
    }
    published = paper.read_paper(arguments.paper)
    compared = paper.beside(study, published, spec["phantom"])
    sentences = conclude(study, tests, ranks, chances, spec["phantom"])
    with new_folder(arguments.out) as folder:
        for name, rows in tables.items():
            write_rows(folder / f"{name}.csv", rows)
        (folder / "conclusions.json").write_text(json.dumps(sentences, indent=1, ensure_ascii=False) + "\n")
        page = to_page(
            study, tables["metrics"], ranks, tables["sites"], tables["federation"], sentences, spec["caption"]
        )
        (folder / "analysis.md").write_text(page, encoding="utf-8")
        # A table of other setups or methods has nothing beside it.
        if compared:
            write_rows(folder / "beside_paper.csv", compared)
            of_paper = paper.best_of_paper(published, paper.read_test_subjects(arguments.paper_subjects))
            write_rows(folder / "best_of_paper.csv", of_paper)
            text = paper.to_page(study, published, of_paper, compared, spec["phantom"])
            (folder / "beside_paper.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=Path, nargs="+", required=True, help="by column, in it by row, in it by seed")
    parser.add_argument("--parameters", required=True, help="seeds, columns, rows and caption as JSON")
    parser.add_argument("--paper", type=Path, required=True, help="the paper's table")
    parser.add_argument("--paper-subjects", type=Path, required=True, help="numbers of its test cases")
    parser.add_argument("--out", type=Path, required=True, help="folder of the analysis")
    run_script(parser, main)
