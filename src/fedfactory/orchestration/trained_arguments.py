"""Arguments of the scripts that segment with a trained method."""

import argparse
import json
from pathlib import Path

from fedfactory.data.store import ClientView
from fedfactory.methods.contract import Trained
from fedfactory.orchestration.arguments import add_labels
from fedfactory.training.devices import DEVICES, resolve


def add_trained(parser: argparse.ArgumentParser) -> None:
    """Add what :func:`trained_of` reads, ``--cell`` and ``--out``."""
    parser.add_argument("--model", type=Path, required=True, help="the method's model, or its weights")
    parser.add_argument("--others", type=Path, nargs="*", default=[], help="what else the method reads")
    parser.add_argument("--data", type=Path, required=True, help="the target's store")
    add_labels(parser)
    parser.add_argument("--parameters", required=True, help="of the prediction, as JSON")
    parser.add_argument("--orientation", required=True, help="of the setup, for pictures")
    parser.add_argument("--device", choices=DEVICES, required=True)
    parser.add_argument("--cell", required=True, help="setup/client/method, for the progress")
    parser.add_argument("--out", type=Path, required=True)


def trained_of(arguments: argparse.Namespace) -> Trained:
    """What a method segments with."""
    return Trained(
        arguments.model,
        tuple(arguments.others),
        ClientView(arguments.data, arguments.labels),
        json.loads(arguments.parameters),
        arguments.orientation,
        resolve(arguments.device),
    )
