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
    p, view = json.loads(arguments.parameters), ClientView(arguments.data)
    cases = {row.case: row.subject for row in view.rows if row.split == "test" and row.labelled}
    predictions = dict(zip(p["methods"], arguments.predictions, strict=True))
    progress, shown = Progress(f"draw {p['target']}"), []
    for number, case in enumerate(sorted(cases), start=1):
        found = slices_of(case, arguments.truth, predictions, p["orientation"], view.classes)
        shown.append({"subject": cases[case], **found})
        progress.update(number, len(cases), case)
    dice = {
        name: {subject: found.figures["dice"] for subject, found in read_subjects(file).items()}
        for name, file in zip(p["methods"], arguments.scores, strict=True)
    }
    worst = worst_panels(dice, cases, arguments.truth, predictions, p["orientation"])
    with new_file(arguments.out) as path:
        write_slices(shown, path)
    with new_file(arguments.worst) as path:
        write_panels(worst, path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the target's store")
    parser.add_argument("--truth", type=Path, required=True, help="truth of the target's test cases")
    parser.add_argument("--predictions", type=Path, nargs="+", required=True, help="of each method")
    parser.add_argument("--scores", type=Path, nargs="+", required=True, help="of each method")
    parser.add_argument("--parameters", required=True, help="target, orientation and methods as JSON")
    parser.add_argument("--out", type=Path, required=True, help="the slices as JSON, for the page")
    parser.add_argument("--worst", type=Path, required=True, help=".npz with the worst subject of each method")
    run_script(parser, main)
