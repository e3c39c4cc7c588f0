"""Make a client's CLIP key from its training images."""

import argparse
import json
from pathlib import Path

from fedfactory.config.parameters import read
from fedfactory.data.store import ClientView
from fedfactory.factory.encoders import EncoderParameters, client_key, load_encoder, write_key
from fedfactory.factory.images import training_images
from fedfactory.orchestration.job import run_script
from fedfactory.storage.files import new_file
from fedfactory.training.devices import DEVICES, prepare

BATCH = 16


def main(arguments: argparse.Namespace) -> None:
    """Encode the images at the size of the factory's, which refinement compares with the key."""
    import torch

    device = prepare(arguments.device)
    p = json.loads(arguments.parameters)
    images, _ = training_images(ClientView(arguments.data), p["size"])
    encoder = load_encoder(read(EncoderParameters, p["encoder"], "factory.encoder"), device)
    key = client_key(encoder, (batch.to(device) for batch in torch.from_numpy(images)[:, None].split(BATCH)))
    with new_file(arguments.out) as file:
        write_key(file, key)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the client's store")
    parser.add_argument(
        "--parameters", required=True, help="EncoderParameters, and edge of the factory's images as JSON"
    )
    parser.add_argument("--device", choices=DEVICES, required=True)
    parser.add_argument("--out", type=Path, required=True, help="JSON file of the key")
    run_script(parser, main)
