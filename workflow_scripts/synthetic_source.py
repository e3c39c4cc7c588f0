"""Sample the synthetic source set from the factory, and label and filter it with the source branch."""

import argparse
import json
from pathlib import Path

from fedfactory.config.parameters import read
from fedfactory.evaluation.figures import save
from fedfactory.methods.ours.parameters import SyntheticParameters
from fedfactory.orchestration.job import run_script
from fedfactory.storage.files import new_file, new_folder
from fedfactory.training.devices import DEVICES, prepare
from fedfactory.training.seeds import derive_seed


def main(arguments: argparse.Namespace) -> None:
    """Make one set and its picture; no image of a patient is read."""
    device = prepare(arguments.device)
    from fedfactory.methods.ours.encoder import SOURCE
    from fedfactory.methods.ours.model import read_networks
    from fedfactory.methods.ours.pictures import draw_synthetic
    from fedfactory.methods.ours.rendering import own_look
    from fedfactory.methods.ours.source import assess
    from fedfactory.methods.ours.synthetic import make_synthetic_set

    source = read_networks(arguments.branch, arguments.factory, device, "source_branch")
    found, counts = make_synthetic_set(
        source.factory,
        own_look(source.factory, source.card["client"]),
        read(SyntheticParameters, json.loads(arguments.parameters), "synthetic"),
        lambda images: assess(source.translator, source.branches[SOURCE], images, arguments.size),
        source.card["limits"],
        derive_seed("synthetic", arguments.cell, arguments.seed),
    )
    with new_folder(arguments.out) as folder:
        found.write(folder, source.factory, counts)
    with new_file(arguments.picture) as path:
        save(draw_synthetic(found, counts, arguments.orientation), path, ".png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--factory", type=Path, required=True, help="folder made by factory_train")
    parser.add_argument("--branch", type=Path, required=True, help="folder made by source_branch")
    parser.add_argument("--parameters", required=True, help="SyntheticParameters as JSON")
    parser.add_argument("--size", type=int, required=True, help="edge of the labels: that of the clients' slices")
    parser.add_argument("--device", choices=DEVICES, required=True)
    parser.add_argument("--cell", required=True, help="setup/client/method; the seed of the set derives from it")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--orientation", required=True)
    parser.add_argument("--picture", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of the set")
    run_script(parser, main)
