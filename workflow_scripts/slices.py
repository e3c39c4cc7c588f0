"""Show a target's test cases with the contours of every method, for the page, and the worst subject of each method."""

import argparse
import json
from pathlib import Path

from fedfactory.data.store import ClientView
from fedfactory.evaluation.released_slices import write_panels
from fedfactory.evaluation.slices import slices_of, worst_panels, write_slices
from fedfactory.evaluation.subjects import read_subjects
from fedfactory.orchestration.job import run_script
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.files import new_file


def main(arguments: argparse.Namespace) -> None:
    """Write both files of one target."""
    view = ClientView(arguments.data)
    cases = {row.case: row.subject for row in view.rows if row.split == "test" and row.labelled}
    methods = {name: Path(folder) for name, folder in json.loads(arguments.methods).items()}
    predictions = {name: folder / "predictions" for name, folder in methods.items()}
    progress, shown = Progress(f"draw {arguments.target}"), []
    for number, case in enumerate(sorted(cases), start=1):
        found = slices_of(case, arguments.truth, predictions, arguments.orientation, view.classes)
        shown.append({"subject": cases[case], **found})
        progress.update(number, len(cases), case)
    dice = {
        name: {subject: found.figures["dice"] for subject, found in read_subjects(folder / "scores.csv").items()}
        for name, folder in methods.items()
    }
    worst = worst_panels(dice, cases, arguments.truth, predictions, arguments.orientation)
    with new_file(arguments.out) as path:
        write_slices(arguments.target, shown, path)
    with new_file(arguments.worst) as path:
        write_panels(worst, path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", required=True, help="setup/client")
    parser.add_argument("--orientation", choices=("RAS", "native"), required=True)
    parser.add_argument("--data", type=Path, required=True, help="the target's store")
    parser.add_argument("--truth", type=Path, required=True, help="truth of the target's test cases")
    parser.add_argument("--methods", required=True, help="method -> folder of its cell, as JSON")
    parser.add_argument("--out", type=Path, required=True, help="script with the slices, for the page")
    parser.add_argument("--worst", type=Path, required=True, help=".npz with the worst subject of each method")
    run_script(parser, main)
