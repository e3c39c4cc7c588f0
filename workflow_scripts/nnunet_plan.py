"""Plan and preprocess the labelled volumes of a client for nnU-Net, once for all trainings on them."""

import argparse
from pathlib import Path

from fedfactory.data.store import ClientView
from fedfactory.errors import FedFactoryError
from fedfactory.methods.nnunet.planning import plan
from fedfactory.orchestration.job import run_script
from fedfactory.orchestration.labels import SOURCE


def main(arguments: argparse.Namespace) -> None:
    """Give nnU-Net the client's training and validation volumes."""
    view = ClientView(arguments.data, SOURCE)
    train, validation = view.labelled_volumes("train"), view.labelled_volumes("validation")
    if not validation:
        raise FedFactoryError(
            f"{arguments.data}: there is no validation volume, which nnU-Net watches while it trains; raise "
            "'split.validation' or label more volumes"
        )
    plan(
        [*train, *validation],
        view.classes,
        arguments.out,
        train=[volume.name for volume in train],
        validation=[volume.name for volume in validation],
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the client's store")
    parser.add_argument("--out", type=Path, required=True)
    run_script(parser, main)
