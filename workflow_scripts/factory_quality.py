"""Measure a factory at one client, on that client's own images."""

import argparse
from pathlib import Path

from fedfactory.data.store import ClientView
from fedfactory.factory.report import measure, write_quality
from fedfactory.orchestration.job import run_script
from fedfactory.storage.files import new_file
from fedfactory.training.seeds import derive_seed


def main(arguments: argparse.Namespace) -> None:
    """Measure every snapshot."""
    import torch

    torch.set_num_threads(1)
    seed = derive_seed("quality", arguments.client, arguments.partner)
    rows = measure(arguments.factory, ClientView(arguments.data), arguments.client, arguments.partner, seed)
    with new_file(arguments.out) as path:
        write_quality(path, rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--factory", type=Path, required=True, help="folder made by factory_train")
    parser.add_argument("--data", type=Path, required=True, help="the client's store")
    parser.add_argument("--client", required=True)
    parser.add_argument("--partner", required=True, help="client that the alignment is measured against")
    parser.add_argument("--out", type=Path, required=True, help="CSV, one row for each snapshot")
    run_script(parser, main)
