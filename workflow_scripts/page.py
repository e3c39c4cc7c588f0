"""Write the page of the results: table, cells, slices, statistics, provenance and costs, without a network."""

import argparse
import json
from pathlib import Path

from fedfactory.evaluation.page.content import page_data, render
from fedfactory.evaluation.page.sections import strict_protocol, tables
from fedfactory.evaluation.paper import beside, read_paper
from fedfactory.evaluation.render import arrange, printed
from fedfactory.evaluation.slices import read_slices, write_script
from fedfactory.evaluation.table import summarise
from fedfactory.evaluation.table_cells import Study
from fedfactory.orchestration.job import run_script
from fedfactory.provenance.story import read_story
from fedfactory.storage.files import new_file


def main(arguments: argparse.Namespace) -> None:
    """Put the page together from what other rules made."""
    spec = json.loads(arguments.parameters)
    study, root = Study.read(spec, arguments.scores), arguments.out.parent
    table = {key: summarise(seeds) for key, seeds in study.cells.items()}
    told = [read_story(file) for file in arguments.stories]
    counts = {method: study.label_counts(method) for method in study.methods}
    grid = arrange(table, study.columns, study.rows, "", counts, native=study.native(told))
    # A cell that opens shows its first seed.
    stories = {key: seeds[0] for key, seeds in study.by_cell(told).items()}
    folders = {key: files[0].parent for key, files in study.by_cell(arguments.stories).items()}
    paper = read_paper(arguments.paper)
    data = page_data(study, grid, arguments.analysis, stories, paper, spec, folders, root)
    files = iter(arguments.pictures)
    galleries = [
        {
            **section,
            "pictures": [{"file": next(files).relative_to(root).as_posix(), **texts} for texts in section["pictures"]],
        }
        for section in spec["galleries"]
    ]
    # Read before anything is written: a site may have sent what is refused.
    targets = [f"{column.setup}/{column.target}" for column in study.columns if arguments.slices]
    slices = {target: read_slices(file) for target, file in zip(targets, arguments.slices, strict=True)}
    rows, costs = beside(study, paper, spec["phantom"]), {key: story["cost"] for key, story in stories.items()}
    strict = printed(Study.read(spec["strict"], arguments.strict), spec["strict"]["caption"])
    text = render(
        data,
        run=spec["run"],
        table=spec["table"],
        caption=spec["about_data"],
        seeds="one training seed" if len(spec["seeds"]) == 1 else f"{len(spec['seeds'])} training seeds",
        commits=sorted({commit[:12] for story in stories.values() for commit in story["commits"] if commit}),
        groups=grid.groups,
        notes=grid.notes[1:],
        conclusions=json.loads((arguments.analysis / "conclusions.json").read_text()),
        strict=strict_protocol(strict),
        row_sections=list(dict.fromkeys(row.section for row in study.rows if row.section)),
        tables=(shown := tables(study, rows, costs, spec["phantom"], spec["scale"], spec["cards"])),
        galleries=galleries,
        sections=[
            ("h-table", "Table 1"),
            ("conclusions", "Conclusions"),
            *((section["id"], section["title"]) for section in (*shown, *galleries)),
        ],
    )
    with new_file(arguments.out) as path:
        path.write_text(text, encoding="utf-8")
    for (target, cases), script in zip(slices.items(), arguments.scripts, strict=True):
        with new_file(script) as path:
            write_script(target, cases, path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=Path, nargs="+", required=True, help="by column, in it by row, in it by seed")
    parser.add_argument("--stories", type=Path, nargs="+", required=True, help="cell.json of each, in the same order")
    parser.add_argument("--strict", type=Path, nargs="+", required=True, help="scores of the strict protocol's table")
    parser.add_argument("--slices", type=Path, nargs="*", default=[], help="what each target released, or nothing")
    parser.add_argument("--scripts", type=Path, nargs="*", default=[], help="the same as scripts, made here")
    parser.add_argument("--pictures", type=Path, nargs="+", required=True, help="in the order of their texts")
    parser.add_argument("--parameters", required=True, help="of the table, with classes and texts of pictures, as JSON")
    parser.add_argument("--analysis", type=Path, required=True, help="folder made by the rule analysis")
    parser.add_argument("--paper", type=Path, required=True, help="the paper's table")
    parser.add_argument("--out", type=Path, required=True, help="the page")
    run_script(parser, main)
