"""A client's share of FedDG's amplitude bank, from its training images."""

import argparse
import json
from pathlib import Path

import numpy as np

from fedfactory.baselines.feddg.parameters import FedDGParameters
from fedfactory.data.store import ClientView
from fedfactory.files import new_file
from fedfactory.script import run_script


def main(arguments: argparse.Namespace) -> None:
    """Write the amplitudes."""
    from fedfactory.baselines.feddg.party import bank_of

    p = FedDGParameters.from_mapping(json.loads(arguments.parameters), "parameters")
    with new_file(arguments.out) as file:
        np.save(file, bank_of(ClientView(arguments.data), p))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the client's store")
    parser.add_argument("--parameters", required=True, help="the method's parameters as JSON")
    parser.add_argument("--out", type=Path, required=True)
    run_script(parser, main)
