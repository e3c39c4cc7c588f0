"""Fit a method at a target: on its own data, and above all on its few labelled slices M_t."""

import argparse
import json
from pathlib import Path

from fedfactory.data.store import ClientView
from fedfactory.methods.contract import Fit
from fedfactory.orchestration.arguments import add_labels, add_training_arguments, training_seed
from fedfactory.orchestration.declared import load
from fedfactory.orchestration.job import run_script
from fedfactory.orchestration.progress import Progress
from fedfactory.orchestration.training_checkpoints import checkpoints_of
from fedfactory.storage.files import new_folder
from fedfactory.training.devices import resolve


def main(arguments: argparse.Namespace) -> None:
    """Fit one cell, or go on with it."""
    checkpoints = checkpoints_of(arguments, "", [arguments.data, *arguments.others])
    task = Fit(
        ClientView(arguments.data, arguments.labels),
        json.loads(arguments.parameters),
        training_seed(arguments),
        resolve(arguments.device),
        checkpoints,
        Progress(f"fit {arguments.cell} seed {arguments.seed}"),
        tuple(arguments.others),
    )
    with new_folder(arguments.out) as folder:
        load(arguments.fit)(task, folder)
    checkpoints.remove()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", required=True, help="function of the method's declaration, as module:name")
    parser.add_argument("--data", type=Path, required=True, help="the target's store")
    parser.add_argument("--others", type=Path, nargs="*", default=[], help="models that the method starts from")
    add_labels(parser)
    add_training_arguments(parser)
    run_script(parser, main)
