"""Train FedMed-GAN between the source and one target, each in a process of its own."""

import argparse

from fedfactory.methods.federated.cell import FederatedCell, add_cell_arguments
from fedfactory.orchestration.job import run_script
from fedfactory.orchestration.progress import Progress
from fedfactory.training.devices import prepare


def main(arguments: argparse.Namespace) -> None:
    """Train one cell, or go on with it."""
    device = prepare(arguments.device)
    from fedfactory.methods.fedmedgan.training import train_fedmedgan

    progress = Progress(f"FedMed-GAN {arguments.cell} seed {arguments.seed}")
    train_fedmedgan(FederatedCell.of(arguments, device), arguments.size, arguments.out, progress)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, required=True, help="edge of the images")
    add_cell_arguments(parser)
    run_script(parser, main)
