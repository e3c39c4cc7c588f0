"""Draw the charts of a table: subjects, methods by targets, ranks, costs, exchanged bytes, training curves."""

import argparse
import json
from pathlib import Path

from fedfactory.evaluation import charts
from fedfactory.evaluation.analysis import comparisons, rankings
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
    validated = [key for key in study.cells if key[2] in spec["validated"]]
    models = dict(zip(validated, arguments.models, strict=True))
    figures = {
        "box_plots": charts.box_plots(study),
        "heat_map": charts.heat_map(study),
        "ranks": charts.rank_diagram(study, rankings(study), comparisons(study)),
        "cost": charts.cost_plot(study, costs),
        "exchange": charts.exchange_plot(study, costs),
        "curves": charts.training_curves(study, models),
    }
    for name, figure in figures.items():
        with new_file(getattr(arguments, name)) as path:
            save(figure, path, ".png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=Path, nargs="+", required=True, help="by column, in it by row, in it by seed")
    parser.add_argument("--stories", type=Path, nargs="+", required=True, help="cell.json of the first seed's cells")
    parser.add_argument("--models", type=Path, nargs="*", default=[], help="of the cells of methods that are validated")
    parser.add_argument("--parameters", required=True, help="seeds, columns, rows and validated methods as JSON")
    for name, texts in CHARTS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=Path, required=True, help=texts["alt"])
    run_script(parser, main)
