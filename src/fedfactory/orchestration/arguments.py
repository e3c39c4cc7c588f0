"""Arguments that every training script shares."""

import argparse
from pathlib import Path

from fedfactory.orchestration.labels import Labels
from fedfactory.training.devices import DEVICES
from fedfactory.training.seeds import derive_seed


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--parameters``, ``--device``, ``--cell``, ``--seed`` and ``--out``."""
    parser.add_argument("--parameters", required=True, help="the method's parameters as JSON")
    parser.add_argument("--device", choices=DEVICES, required=True)
    parser.add_argument("--cell", required=True, help="setup/client/method; the seed of the training derives from it")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of the model")


def add_labels(parser: argparse.ArgumentParser) -> None:
    """Add ``--labels``, for a job that opens a target's store."""
    parser.add_argument(
        "--labels", type=Labels.from_json, required=True, help="labels of the target that the method declares, as JSON"
    )


def training_seed(arguments: argparse.Namespace) -> int:
    """The seed of a training: it belongs to the cell, so that one cell alone equals the cell of the whole table."""
    return derive_seed("train", arguments.cell, arguments.seed)
