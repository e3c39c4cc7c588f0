"""Measure at the source whether its branch and its synthetic set give its slices away."""

import argparse
import json
from pathlib import Path

from fedfactory.config.parameters import read
from fedfactory.data.store import ClientView
from fedfactory.factory.encoders import EncoderParameters, load_encoder
from fedfactory.methods.ours.privacy import measure_source
from fedfactory.orchestration.job import run_script
from fedfactory.orchestration.labels import SOURCE
from fedfactory.storage.files import new_file
from fedfactory.storage.tables import write_rows
from fedfactory.training.devices import prepare
from fedfactory.training.seeds import derive_seed


def main(arguments: argparse.Namespace) -> None:
    """Write the table."""
    encoder = load_encoder(read(EncoderParameters, json.loads(arguments.encoder), "factory.encoder"), prepare("cpu"))
    view, seed = ClientView(arguments.data, SOURCE), derive_seed("privacy", arguments.client)
    where = arguments.branch, arguments.factory, arguments.synthetic
    with new_file(arguments.out) as path:
        write_rows(path, measure_source(*where, view, arguments.client, encoder, seed))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--factory", type=Path, required=True, help="folder made by factory_train")
    parser.add_argument("--branch", type=Path, required=True, help="folder made by source_branch")
    parser.add_argument("--synthetic", type=Path, required=True, help="folder made by synthetic_source")
    parser.add_argument("--data", type=Path, required=True, help="the source's store")
    parser.add_argument("--client", required=True)
    parser.add_argument("--encoder", required=True, help="of the keys, as JSON")
    parser.add_argument("--out", type=Path, required=True, help="CSV")
    run_script(parser, main)
