"""What the commands that prepare the node of a real client share."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
from pathlib import Path

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

   It must be imports and the class of {shipped}: it runs the package that you
   installed.

3. All that crosses your border is written down: a folder per training in {node}/records holds ledger.csv and, for
   your eyes only, losses.csv.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of such a command."""
    parser.add_argument("--client", required=True, help="the client's name, as the server's configuration has it")
    parser.add_argument("--data", type=Path, required=True, help="the client's store, made by the rule prepare_client")
    parser.add_argument("--node", type=Path, required=True, help="folder of the node; one per client and federation")
    parser.add_argument("--host", required=True, help="the server's host, exactly as it gives it")
    parser.add_argument("--port", type=int, default=50051, help="the server's port")


def folder_beside(node: Path) -> Path:
    """Folder of what the node reads. Beside the node, whose own folder Fed-BioMed wants to find empty."""
    return node.with_name(f"{node.name}_data")


def records_of(node: Path) -> Path:
    """Records of each training in a folder of their own, so that none overwrites another's."""
    return node / "records" / "{experiment}"


def create_node(arguments: argparse.Namespace, shipped: str) -> None:
    """Create the node, whose folder is made, and say what comes next.

    Args:
        arguments: of :func:`add_arguments`.
        shipped: file of the package with the class that the client approves.
    """
    node = arguments.node.resolve()
    os.environ.update(settings(arguments.host, arguments.port, approval=True))
    logging.getLogger("fedbiomed").setLevel(logging.WARNING)
    prepare_node(node, folder_beside(node))
    said = {**vars(arguments), "node": node, "path": shlex.quote(str(node)), "shipped": shipped}
    print(_NEXT.format(**said))
