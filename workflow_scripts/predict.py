"""Segment a target's test volumes by a method's model, and bring the masks back to the geometry of the raw images."""

import argparse
from dataclasses import replace
from pathlib import Path

from fedfactory.evaluation.choice import Choice
from fedfactory.methods.contract import predict_cases
from fedfactory.orchestration.declared import load
from fedfactory.orchestration.job import run_script
from fedfactory.orchestration.progress import Progress
from fedfactory.orchestration.trained_arguments import add_trained, trained_of


def main(arguments: argparse.Namespace) -> None:
    """Predict all test volumes of one cell."""
    trained = trained_of(arguments)
    # One file, or none.
    for file in arguments.choice:
        trained = replace(trained, choice=Choice.read(file))
    segment = load(arguments.segmenter)(trained)
    cases = predict_cases(trained.view, segment, arguments.out, Progress(f"predict {arguments.cell}"))
    if arguments.also:
        load(arguments.write_also)(trained, segment, cases, arguments.also)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--segmenter", required=True, help="function of the method's declaration, as module:name")
    add_trained(parser)
    parser.add_argument("--choice", type=Path, nargs="*", default=[], help="what validation volumes chose, if they did")
    parser.add_argument("--write-also", nargs="?", help="function that writes more than the masks, as module:name")
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="files that it writes")
    run_script(parser, main)
