"""Draw the charts of a table: subjects, methods by targets, ranks, costs, exchanged bytes, training curves."""

import argparse
import json
from pathlib import Path

from fedfactory.config.paths import Layout
from fedfactory.evaluation import charts
from fedfactory.evaluation.analysis import comparisons, rankings
from fedfactory.evaluation.figures import save
from fedfactory.evaluation.table_cells import Study
from fedfactory.orchestration.job import run_script
from fedfactory.provenance.story import stories_of
from fedfactory.storage.files import new_file


def main(arguments: argparse.Namespace) -> None:
    """Draw every chart into the folder."""
    spec = json.loads(arguments.spec)
    study, layout, seed = Study.read(spec), Layout(spec["run"]), spec["seeds"][0]
    costs = {key: story["cost"] for key, story in stories_of(study.cells, layout, seed).items()}
    # Looked for, not asked for: not every method has a model that was validated. Its scores are made after it.
    models = {key: Path(layout.cell(*key, seed, "model")) for key in study.cells}
    figures = {
        "box_plots": charts.box_plots(study),
        "heat_map": charts.heat_map(study),
        "ranks": charts.rank_diagram(study, rankings(study), comparisons(study)),
        "cost": charts.cost_plot(study, costs),
        "exchange": charts.exchange_plot(study, costs),
        "curves": charts.training_curves(study, models),
    }
    for name, figure in figures.items():
        with new_file(arguments.out / f"{name}.png") as path:
            save(figure, path, ".png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spec", required=True, help="run, seeds, columns and rows of the table as JSON")
    parser.add_argument("--out", type=Path, required=True, help="folder of the charts")
    run_script(parser, main)
