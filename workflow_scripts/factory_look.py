"""Learn how the frozen factory renders a client that took no part in its training, at that client."""

import argparse
import json
from pathlib import Path

from fedfactory.data.store import ClientView
from fedfactory.orchestration.job import run_script
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.files import new_folder
from fedfactory.training.devices import DEVICES, prepare
from fedfactory.training.seeds import derive_seed


def main(arguments: argparse.Namespace) -> None:
    """Learn one look."""
    device = prepare(arguments.device)
    import torch

    from fedfactory.config.parameters import read
    from fedfactory.factory.encoders import read_key
    from fedfactory.factory.images import training_images
    from fedfactory.methods.ours.model import open_factory
    from fedfactory.methods.ours.parameters import LookParameters
    from fedfactory.methods.ours.perceptual import PerceptualParameters, load_perceptual
    from fedfactory.methods.ours.rendering import learn_look, nearest_client, write_look

    parameters = json.loads(arguments.parameters)
    factory = open_factory(arguments.factory, parameters["factory"], device)
    images, positions = training_images(ClientView(arguments.data), factory.card.parameters.network.image_size)
    loss = read(PerceptualParameters, parameters["perceptual"], "perceptual")
    perceptual = load_perceptual(loss, device)
    key = read_key(arguments.key, factory.card.encoder_digest)
    look, losses = learn_look(
        factory,
        torch.from_numpy(images)[:, None].to(device),
        torch.from_numpy(positions).to(device),
        nearest_client(factory, key.values.tolist()),
        read(LookParameters, parameters["look"], "look"),
        perceptual,
        derive_seed("look", arguments.cell, arguments.seed),
        Progress(f"look {arguments.cell} seed {arguments.seed}"),
    )
    with new_folder(arguments.out) as folder:
        write_look(folder, look, factory, perceptual.name, losses)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--factory", type=Path, required=True, help="folder made by factory_train")
    parser.add_argument("--data", type=Path, required=True, help="the client's store")
    parser.add_argument("--key", type=Path, required=True, help="the client's key")
    parser.add_argument("--parameters", required=True, help="of look, perceptual loss and factory, as JSON")
    parser.add_argument("--device", choices=DEVICES, required=True)
    parser.add_argument("--cell", required=True, help="setup/client/method; the seed derives from it")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of the look")
    run_script(parser, main)
