"""Plan and preprocess the labelled volumes of a client for nnU-Net, once for all trainings on them."""

import argparse
from dataclasses import replace
from pathlib import Path

from fedfactory.data.store import ClientView
from fedfactory.errors import FedFactoryError
from fedfactory.methods.nnunet.planning import plan
from fedfactory.orchestration.job import run_script
from fedfactory.orchestration.labels import SOURCE


def main(arguments: argparse.Namespace) -> None:
    """Give nnU-Net the training and validation volumes of a client, or of several that are pooled."""
    views = [ClientView(folder, SOURCE) for folder in arguments.data]
    train, validation = (
        [
            # Clients may have cases of one name.
            replace(volume, name=volume.name if len(views) == 1 else f"{number}_{volume.name}")
            for number, view in enumerate(views)
            for volume in view.labelled_volumes(split)
        ]
        for split in ("train", "validation")
    )
    if not validation:
        raise FedFactoryError(
            f"{arguments.data[0]}: there is no validation volume, which nnU-Net watches while it trains; raise "
            "'split.validation' or label more volumes"
        )
    plan(
        [*train, *validation],
        views[0].classes,
        arguments.out,
        train=[volume.name for volume in train],
        validation=[volume.name for volume in validation],
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="the client's store, or those of several")
    parser.add_argument("--out", type=Path, required=True)
    run_script(parser, main)
