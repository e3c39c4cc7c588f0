"""Segment a target's test volumes by a method's model, and bring the masks back to the geometry of the raw images."""

import argparse
import json
from pathlib import Path

from fedfactory.data.store import ClientView
from fedfactory.methods.contract import Trained, predict_cases
from fedfactory.orchestration.arguments import add_labels
from fedfactory.orchestration.declared import load
from fedfactory.orchestration.job import run_script
from fedfactory.orchestration.progress import Progress
from fedfactory.training.devices import DEVICES, resolve


def main(arguments: argparse.Namespace) -> None:
    """Predict all test volumes of one cell."""
    trained = Trained(
        arguments.model,
        tuple(arguments.others),
        ClientView(arguments.data, arguments.labels),
        json.loads(arguments.parameters),
        arguments.orientation,
        resolve(arguments.device),
    )
    segment = load(arguments.segmenter)(trained)
    cases = predict_cases(trained.view, segment, arguments.out, Progress(f"predict {arguments.cell}"))
    if arguments.also:
        load(arguments.write_also)(trained, segment, cases, arguments.also)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--segmenter", required=True, help="function of the method's declaration, as module:name")
    parser.add_argument("--model", type=Path, required=True, help="the method's model, or its weights")
    parser.add_argument("--others", type=Path, nargs="*", default=[], help="what else the method reads")
    parser.add_argument("--data", type=Path, required=True, help="the target's store")
    add_labels(parser)
    parser.add_argument("--parameters", required=True, help="of the prediction, as JSON")
    parser.add_argument("--orientation", required=True, help="of the setup, for pictures")
    parser.add_argument("--device", choices=DEVICES, required=True)
    parser.add_argument("--cell", required=True, help="setup/client/method, for the progress")
    parser.add_argument("--write-also", nargs="?", help="function that writes more than the masks, as module:name")
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="files that it writes")
    parser.add_argument("--out", type=Path, required=True)
    run_script(parser, main)
