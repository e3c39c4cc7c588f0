"""A table and its analysis as files: of one run, or of several that were merged."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

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
    scaled_rows,
    site_rows,
)
from fedfactory.evaluation.analysis_page import to_page
from fedfactory.evaluation.conclusions import conclude
from fedfactory.evaluation.render import RENDERERS, printed
from fedfactory.evaluation.table import summarise, write_long
from fedfactory.evaluation.table_cells import Key, Study
from fedfactory.storage.files import new_file, new_folder
from fedfactory.storage.tables import write_rows


def write_table(study: Study, caption: str, native: Collection[Key], files: Mapping[str, Path]) -> None:
    """Write all forms of a table.

    Args:
        study: the table.
        caption: first of the notes below it.
        native: cells whose bytes depend on the processor or the GPU.
        files: ``.csv`` and the endings of :data:`fedfactory.evaluation.render.RENDERERS` -> file.
    """
    with new_file(files[".csv"]) as path:
        table = {key: summarise(seeds) for key, seeds in study.cells.items()}
        write_long(table, study.columns, study.rows, study.labels, path)
    grid = printed(study, caption, native)
    for ending, render in RENDERERS.items():
        with new_file(files[ending]) as path:
            path.write_text(render(grid), encoding="utf-8")


def write_analysis(study: Study, spec: Mapping[str, Any], published: Path, test_subjects: Path, out: Path) -> None:
    """Write what a table's figures are worth into a new folder.

    Args:
        study: the table.
        spec: of the table (:mod:`fedfactory.evaluation.specification`).
        published: the paper's table.
        test_subjects: numbers of its test cases.
        out: the folder; written whole or not at all.
    """
    tests, ranks, chances = comparisons(study), rankings(study), best(study)
    tables = {
        "metrics": list(metric_rows(study)),
        "classes": list(class_rows(study)),
        "best": best_rows(chances),
        "comparisons": comparison_rows(tests),
        "ranks": rank_rows(ranks),
        "sites": list(site_rows(study)),
        "federation": list(federation_rows(study, spec["reference"])),
        "scaled": list(scaled_rows(study, *spec["scale"])) if spec["scale"] else [],
    }
    figures = paper.read_paper(published)
    compared = paper.beside(study, figures, spec["phantom"])
    sentences = conclude(study, tests, ranks, chances, spec["phantom"])
    with new_folder(out) as folder:
        for name, rows in tables.items():
            write_rows(folder / f"{name}.csv", rows)
        (folder / "conclusions.json").write_text(json.dumps(sentences, indent=1, ensure_ascii=False) + "\n")
        page = to_page(study, tables, ranks, sentences, spec)
        (folder / "analysis.md").write_text(page, encoding="utf-8")
        # A table of other setups or methods has nothing beside it.
        if compared:
            write_rows(folder / "beside_paper.csv", compared)
            of_paper = paper.best_of_paper(figures, paper.read_test_subjects(test_subjects))
            write_rows(folder / "best_of_paper.csv", of_paper)
            text = paper.to_page(study, figures, of_paper, compared, spec["phantom"])
            (folder / "beside_paper.md").write_text(text, encoding="utf-8")
