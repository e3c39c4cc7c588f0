"""Train the source branch, encoder E_s and segmentation branch S_s, at the source client."""

import argparse
import json
from pathlib import Path

from fedfactory.config.parameters import read
from fedfactory.data.store import ClientView
from fedfactory.methods.ours.parameters import SourceParameters
from fedfactory.orchestration.arguments import add_training_arguments, training_seed
from fedfactory.orchestration.job import run_script
from fedfactory.orchestration.labels import SOURCE as WITH_LABELS
from fedfactory.orchestration.progress import Progress
from fedfactory.orchestration.training_checkpoints import checkpoints_of
from fedfactory.storage.files import new_folder
from fedfactory.training.devices import prepare


def main(arguments: argparse.Namespace) -> None:
    """Train one source branch, or go on with it, and write its folder."""
    device = prepare(arguments.device)
    from fedfactory.methods.ours.architecture import Architecture
    from fedfactory.methods.ours.encoder import SOURCE
    from fedfactory.methods.ours.model import open_factory, write_networks
    from fedfactory.methods.ours.perceptual import load_perceptual
    from fedfactory.methods.ours.rendering import own_look
    from fedfactory.methods.ours.source import train_source

    p = read(SourceParameters, json.loads(arguments.parameters), "source")
    view, seed = ClientView(arguments.data, WITH_LABELS), training_seed(arguments)
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
