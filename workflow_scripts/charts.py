"""Draw the charts of a table: subjects, methods by targets, ranks, costs, exchanged bytes, training curves."""

import argparse
import json
from pathlib import Path

from fedfactory.evaluation import charts
from fedfactory.evaluation.analysis import comparisons, rankings
from fedfactory.evaluation.choice import Choice
from fedfactory.evaluation.figures import save
from fedfactory.evaluation.page.texts import CHARTS
from fedfactory.evaluation.table_cells import Study
from fedfactory.orchestration.job import run_script
from fedfactory.provenance.story import read_story
from fedfactory.storage.files import new_file


def main(arguments: argparse.Namespace) -> None:
    """Draw every chart."""
    spec = json.loads(arguments.parameters)
    study = Study.read(spec, arguments.scores)
    costs = {key: read_story(file)["cost"] for key, file in zip(study.cells, arguments.stories, strict=True)}
    chosen = [key for key in study.cells if [key[0], key[2]] in spec["chosen"]]
    choices = {key: Choice.read(file) for key, file in zip(chosen, arguments.choices, strict=True)}
    figures = {
        "box_plots": charts.box_plots(study),
        "heat_map": charts.heat_map(study),
        "ranks": charts.rank_diagram(study, rankings(study), comparisons(study)),
        "cost": charts.cost_plot(study, costs),
        "exchange": charts.exchange_plot(study, costs),
        "curves": charts.training_curves(study, choices),
    }
    for name, figure in figures.items():
        with new_file(getattr(arguments, name)) as path:
            save(figure, path, ".png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=Path, nargs="+", required=True, help="by column, in it by row, in it by seed")
    parser.add_argument("--stories", type=Path, nargs="+", required=True, help="cell.json of the first seed's cells")
    parser.add_argument("--choices", type=Path, nargs="*", default=[], help="where validation volumes choose a state")
    parser.add_argument("--parameters", required=True, help="seeds, columns, rows and methods with choices as JSON")
    for name, texts in CHARTS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, required=True, help=texts["alt"])
    run_script(parser, main)
