"""Train an nnU-Net on all labels of a client: the source, or a target for a bound."""

import argparse
import json
from pathlib import Path

from fedfactory.config.parameters import read
from fedfactory.methods.nnunet.parameters import NnunetParameters
from fedfactory.methods.nnunet.training import train
from fedfactory.orchestration.arguments import add_training_arguments, training_seed
from fedfactory.orchestration.job import run_script
from fedfactory.orchestration.progress import Progress
from fedfactory.orchestration.training_checkpoints import checkpoints_of
from fedfactory.training.devices import resolve


def main(arguments: argparse.Namespace) -> None:
    """Train one model."""
    checkpoints = checkpoints_of(arguments, "", [arguments.plan])
    train(
        arguments.plan,
        read(NnunetParameters, json.loads(arguments.parameters), "--parameters"),
        training_seed(arguments),
        resolve(arguments.device),
        checkpoints,
        arguments.out,
        Progress(f"train {arguments.cell} seed {arguments.seed}"),
    )
    checkpoints.remove()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plan", type=Path, required=True, help="folder made by nnunet_plan")
    add_training_arguments(parser)
    run_script(parser, main)
