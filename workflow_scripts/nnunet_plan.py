"""Plan and preprocess the labelled volumes of a client for nnU-Net, once for all trainings on them."""

import argparse
from dataclasses import replace
from pathlib import Path

from fedfactory.data.store import ClientView, Volume
from fedfactory.errors import FedFactoryError
from fedfactory.methods.nnunet.planning import plan
from fedfactory.orchestration.job import run_script
from fedfactory.orchestration.labels import Labels


def main(arguments: argparse.Namespace) -> None:
    """Give nnU-Net the volumes of a client, or of several that are pooled, whose labels it may see."""
    views = [ClientView(*pair) for pair in zip(arguments.data, arguments.labels, strict=True)]
    train = _volumes(views, "train")
    if not train:
        raise FedFactoryError(f"{arguments.data[0]}: there is no labelled training volume; label some")
    # Of a target that declares its training volumes only, these are watched.
    watched = _volumes(views, "validation") if any(view.labels.validation for view in views) else train
    if not watched:
        raise FedFactoryError(
            f"{arguments.data[0]}: there is no validation volume, which nnU-Net watches while it trains; raise "
            "'split.validation' or label more volumes"
        )
    plan(train, watched, views[0].classes, arguments.out)


def _volumes(views: list[ClientView], split: str) -> list[Volume]:
    # Of several clients, cases may have one name: the client's number tells them apart.
    alone = len(views) == 1
    return [
        volume if alone else replace(volume, name=f"{number}_{volume.name}")
        for number, view in enumerate(views)
        if split == "train" or view.labels.validation
        for volume in view.labelled_volumes(split)
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="the client's store, or those of several")
    parser.add_argument(
        "--labels",
        type=Labels.from_json,
        nargs="+",
        required=True,
        help="labels of each of these clients that the method declares, as JSON",
    )
    parser.add_argument("--out", type=Path, required=True)
    run_script(parser, main)
