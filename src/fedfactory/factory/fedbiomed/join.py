"""Prepares the node of a real client: ``python -m fedfactory.factory.fedbiomed.join``.

Run once at the client, on the machine that holds its store, and again when its images or its key change. Nothing is
sent; docs/federation.md has the whole way.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from fedfactory.config.parameters import read
from fedfactory.errors import FedFactoryError
from fedfactory.factory.encoders import EncoderParameters, no_key, read_key
from fedfactory.factory.fedbiomed.folder import convert, describe
from fedfactory.federation.engines.fedbiomed.joining import add_arguments, create_node, folder_beside, records_of


def main() -> None:
    """Parse the command line and prepare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument(
        "--key", type=Path, help="its key, made by the rule factory_key; none with differential privacy"
    )
    parser.add_argument(
        "--encoder", required=True, help="parameters of the key's encoder as JSON; paths are this client's"
    )
    parser.add_argument("--image-size", type=int, required=True, help="of the factory, in pixels")
    parser.add_argument("--copies", type=int, default=1, help="of each image, as the factory's training.copies has it")
    arguments = parser.parse_args()
    try:
        prepare_client(arguments)
    except FedFactoryError as error:
        sys.exit(f"fedfactory: error: {error}")


def prepare_client(arguments: argparse.Namespace) -> None:
    """Make the client's folder and its node.

    Raises:
        FedFactoryError: bad data, or a key that another encoder made.
    """
    node = arguments.node.resolve()
    try:
        values = json.loads(arguments.encoder)
    except ValueError as error:
        raise FedFactoryError(f"--encoder is no JSON: {error}") from None
    if not isinstance(values, dict):
        raise FedFactoryError('--encoder must be an object with the encoder\'s name, such as {"name": "clip-vit-l-14"}')
    if arguments.copies < 1:
        raise FedFactoryError(f"--copies is {arguments.copies}; 1 stands for the images alone")
    encoder = read(EncoderParameters, values, "factory.encoder")
    key = read_key(arguments.key) if arguments.key else no_key(encoder.name)
    if key.encoder != encoder.name:
        raise FedFactoryError(f"{arguments.key} was made by {key.encoder}, --encoder says {encoder.name}")
    description = describe(arguments.client, key, _placed(encoder), arguments.copies, node, records_of(node))
    convert(description, arguments.data, arguments.image_size, folder_beside(node))
    create_node(arguments, "fedfactory/factory/fedbiomed/shipped.py")


def _placed(encoder: EncoderParameters) -> dict[str, str | None]:
    """Parameters of the encoder with an absolute path: the node runs elsewhere."""
    place = str(Path(encoder.checkpoint).resolve()) if encoder.checkpoint else None
    return {**vars(encoder), "checkpoint": place}


if __name__ == "__main__":
    main()
