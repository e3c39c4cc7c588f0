"""Score the predictions of one cell in raw geometry, and keep the slice that Figure 2 shows."""

import argparse
import json
from pathlib import Path

from fedfactory.evaluation.scores import score_client, write_panel
from fedfactory.orchestration.arguments import add_labels
from fedfactory.orchestration.job import run_script


def main(arguments: argparse.Namespace) -> None:
    """Write scores and panel of one cell."""
    p = json.loads(arguments.parameters)
    folders = arguments.data, arguments.truth, arguments.predictions
    subjects = score_client(p, arguments.labels, *folders, arguments.out)
    # The first test case by name: chosen by nobody's eye.
    write_panel(min(subjects), arguments.truth, arguments.predictions, p["orientation"], arguments.panel)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parameters", required=True, help="cell, orientation, tolerance in mm and planar as JSON")
    add_labels(parser)
    parser.add_argument("--data", type=Path, required=True, help="the target's store")
    parser.add_argument("--truth", type=Path, required=True, help="truth of the target's test cases")
    parser.add_argument("--predictions", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="CSV of the cell")
    parser.add_argument("--panel", type=Path, required=True)
    parser.add_argument("--story", type=Path, required=True, help="JSON: what made the cell")
    run_script(parser, main)
