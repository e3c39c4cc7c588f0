"""Prepares the node of a real client for a row: ``python -m fedfactory.methods.federated.join --method feddg``.

Run once at the client, on the machine that holds its store, and again when its images change. Nothing is sent;
docs/federation.md has the whole way.
"""

from __future__ import annotations

import argparse
import sys

from fedfactory.errors import FedFactoryError
from fedfactory.federation.engines.fedbiomed.joining import add_arguments, create_node, folder_beside, records_of
from fedfactory.methods.federated.nodes import convert

_METHODS = ("feddg", "fedmedgan")


def main() -> None:
    """Parse the command line and prepare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=_METHODS, required=True, help="what the client is to train")
    add_arguments(parser)
    arguments = parser.parse_args()
    node, package = arguments.node.resolve(), f"fedfactory.methods.{arguments.method}"
    try:
        convert(f"{package}.nodes", arguments.client, arguments.data, folder_beside(node), node, records_of(node))
        create_node(arguments, f"{package.replace('.', '/')}/shipped.py")
    except FedFactoryError as error:
        sys.exit(f"fedfactory: error: {error}")


if __name__ == "__main__":
    main()
