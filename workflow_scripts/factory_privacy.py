"""Measure at one client whether a factory repeats its training slices."""

import argparse
import json
from pathlib import Path

from fedfactory.config.parameters import read
from fedfactory.data.geometry import as_picture
from fedfactory.data.store import ClientView
from fedfactory.evaluation.figures import save
from fedfactory.factory.encoders import EncoderParameters, load_encoder
from fedfactory.factory.pictures import draw_rows
from fedfactory.factory.privacy import measure
from fedfactory.orchestration.job import run_script
from fedfactory.storage.files import new_file
from fedfactory.storage.tables import write_rows
from fedfactory.training.devices import prepare
from fedfactory.training.seeds import derive_seed


def main(arguments: argparse.Namespace) -> None:
    """Write the table, and the closest pairs where the client releases pictures."""
    p = json.loads(arguments.parameters)
    encoder = load_encoder(read(EncoderParameters, p["encoder"], "factory.encoder"), prepare("cpu"))
    seed = derive_seed("privacy", p["client"])
    given = measure(arguments.factory, ClientView(arguments.data), p["client"], encoder, seed)
    # One file, or none.
    for file in arguments.closest:
        pairs = [[as_picture(image, p["orientation"]) for image in side] for side in given.closest]
        with new_file(file) as path:
            save(draw_rows([("closest pairs", pairs)], ["drawn", "training"]), path, ".png")
    with new_file(arguments.out) as path:
        write_rows(path, given.rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--factory", type=Path, required=True, help="folder made by factory_train")
    parser.add_argument("--data", type=Path, required=True, help="the client's store")
    parser.add_argument("--parameters", required=True, help="client, encoder of the keys and orientation as JSON")
    parser.add_argument("--closest", type=Path, nargs="*", default=[], help="picture of the closest pairs, if released")
    parser.add_argument("--out", type=Path, required=True, help="CSV, a row for each space")
    run_script(parser, main)
