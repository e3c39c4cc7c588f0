"""Measure a factory at one client, on that client's own images."""

import argparse
import json
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
    p = json.loads(arguments.parameters)
    seed = derive_seed("quality", p["client"], p["partner"])
    rows = measure(arguments.factory, ClientView(arguments.data), p["client"], p["partner"], seed)
    with new_file(arguments.out) as path:
        write_quality(path, rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--factory", type=Path, required=True, help="folder made by factory_train")
    parser.add_argument("--data", type=Path, required=True, help="the client's store")
    parser.add_argument(
        "--parameters", required=True, help="client, and the partner that its alignment is measured against, as JSON"
    )
    parser.add_argument("--out", type=Path, required=True, help="CSV, one row for each snapshot")
    run_script(parser, main)
