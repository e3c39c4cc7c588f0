"""Train FedAvg for a setup: a federation of all clients with labels, each in a process of its own."""

import argparse

from fedfactory.methods.federated.cell import FederatedCell, add_cell_arguments
from fedfactory.orchestration.job import run_script
from fedfactory.orchestration.progress import Progress
from fedfactory.training.devices import prepare


def main(arguments: argparse.Namespace) -> None:
    """Train one model, or go on with it."""
    device = prepare(arguments.device)
    from fedfactory.methods.fedavg.training import train_fedavg

    progress = Progress(f"FedAvg {arguments.cell} seed {arguments.seed}")
    train_fedavg(FederatedCell.of(arguments, device), arguments.classes, arguments.out, progress)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classes", type=int, required=True, help="foreground classes")
    add_cell_arguments(parser)
    run_script(parser, main)
