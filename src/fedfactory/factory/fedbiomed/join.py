"""Prepares the node of a real client: ``python -m fedfactory.factory.fedbiomed.join``.

Run once at the client, on the machine that holds its store, and again when its images or its key change. Nothing is
sent; docs/federation.md has the whole way.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shlex
import sys
from pathlib import Path

from fedfactory.config.parameters import read
from fedfactory.errors import FedFactoryError
from fedfactory.factory.encoders import EncoderParameters, read_key
from fedfactory.factory.fedbiomed.folder import convert, describe
from fedfactory.federation.engines.fedbiomed.node import prepare_node, settings

_NEXT = """
The node of {client} is ready in {node}. Next, at this client:

1. Start it, and let your service manager keep it running:

     fedbiomed node --path {path} start

   A GPU is used with --gpu. One outgoing connection is made, to {host}:{port}; none comes in.

2. When the server has started its training, look at the training plan it asks to run, and approve it:

     fedbiomed node --path {path} training-plan list
     fedbiomed node --path {path} training-plan view
     fedbiomed node --path {path} training-plan approve

   It must be imports and the class of fedfactory/factory/fedbiomed/shipped.py: it runs the package that you
   installed.

3. All that crosses your border is written down: a folder per training in {node}/records holds ledger.csv and, for
   your eyes only, losses.csv.
"""


def main() -> None:
    """Parse the command line and prepare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--client", required=True, help="the client's name, as the server's configuration has it")
    parser.add_argument("--data", type=Path, required=True, help="the client's store, made by the rule prepare_client")
    parser.add_argument("--key", type=Path, required=True, help="its key, made by the rule factory_key")
    parser.add_argument(
        "--encoder", required=True, help="parameters of the key's encoder as JSON; paths are this client's"
    )
    parser.add_argument("--image-size", type=int, required=True, help="of the factory, in pixels")
    parser.add_argument("--copies", type=int, default=1, help="of each image, as the factory's training.copies has it")
    parser.add_argument("--node", type=Path, required=True, help="folder of the node; one per client")
    parser.add_argument("--host", required=True, help="the server's host, exactly as it gives it")
    parser.add_argument("--port", type=int, default=50051, help="the server's port")
    arguments = parser.parse_args()
    try:
        prepare_client(arguments)
    except FedFactoryError as error:
        sys.exit(f"fedfactory: error: {error}")
    path = shlex.quote(str(arguments.node.resolve()))
    print(_NEXT.format(path=path, **{**vars(arguments), "node": arguments.node.resolve()}))


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
    key = read_key(arguments.key)
    if key.encoder != encoder.name:
        raise FedFactoryError(f"{arguments.key} was made by {key.encoder}, --encoder says {encoder.name}")
    description = describe(arguments.client, key, _placed(encoder), arguments.copies, node, _records(node))
    # Beside the node, whose own folder Fed-BioMed wants to find empty.
    folder = node.with_name(f"{node.name}_data")
    convert(description, arguments.data, arguments.image_size, folder)
    os.environ.update(settings(arguments.host, arguments.port, approval=True))
    logging.getLogger("fedbiomed").setLevel(logging.WARNING)
    prepare_node(node, folder)


def _records(node: Path) -> Path:
    """Records of each training in a folder of their own, so that none overwrites another's."""
    return node / "records" / "{experiment}"


def _placed(encoder: EncoderParameters) -> dict[str, str | None]:
    """Parameters of the encoder with an absolute path: the node runs elsewhere."""
    place = str(Path(encoder.checkpoint).resolve()) if encoder.checkpoint else None
    return {**vars(encoder), "checkpoint": place}


if __name__ == "__main__":
    main()
