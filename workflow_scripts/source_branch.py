"""Train the source branch, encoder E_s and segmentation branch S_s, at the source client."""

import argparse
import json
from pathlib import Path

from fedfactory.adaptation.parameters import SourceParameters
from fedfactory.data.store import ClientView
from fedfactory.devices import prepare
from fedfactory.files import new_folder
from fedfactory.parameters import read
from fedfactory.progress import Progress
from fedfactory.script import run_script
from fedfactory.training_files import checkpoints_of
from fedfactory.training_script import add_training_arguments, training_seed


def main(arguments: argparse.Namespace) -> None:
    """Train one source branch, or go on with it, and write its folder."""
    device = prepare(arguments.device)
    from fedfactory.adaptation.architecture import Architecture
    from fedfactory.adaptation.encoder import SOURCE
    from fedfactory.adaptation.look import own_look
    from fedfactory.adaptation.model import open_factory, write_networks
    from fedfactory.adaptation.perceptual import load_perceptual
    from fedfactory.adaptation.source import train_source

    p = read(SourceParameters, json.loads(arguments.parameters), "source")
    view, seed = ClientView(arguments.data), training_seed(arguments)
    factory = open_factory(arguments.factory, p.factory, device)
    look, perceptual = own_look(factory, arguments.client), load_perceptual(p.perceptual, device)
    architecture = Architecture(p.encoder, p.hidden, view.classes, p.factory, factory.digest, look.zoom)
    checkpoints = checkpoints_of(arguments, factory.digest, [arguments.data])
    branch = train_source(
        factory,
        look,
        architecture,
        p,
        view.labelled_volumes("train"),
        view.labelled_volumes("validation"),
        perceptual,
        seed,
        checkpoints,
        Progress(f"source branch {arguments.cell} seed {arguments.seed}"),
    )
    with new_folder(arguments.out) as folder:
        write_networks(
            folder,
            architecture,
            branch.translator,
            {SOURCE: branch.branch},
            branch.history,
            client=arguments.client,
            limits=branch.limits,
            perceptual={"name": perceptual.name, "digest": perceptual.digest},
        )
    checkpoints.remove()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--factory", type=Path, required=True, help="folder made by factory_train")
    parser.add_argument("--data", type=Path, required=True, help="the source's store")
    parser.add_argument("--client", required=True, help="name of the source")
    add_training_arguments(parser)
    run_script(parser, main)
