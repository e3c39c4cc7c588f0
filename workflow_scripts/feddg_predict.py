"""Segment a target's test volumes by a model of FedDG."""

import argparse
from pathlib import Path

from fedfactory.data.store import ClientView
from fedfactory.methods.contract import predict_cases
from fedfactory.orchestration.job import run_script
from fedfactory.orchestration.progress import Progress
from fedfactory.training.devices import DEVICES, prepare


def main(arguments: argparse.Namespace) -> None:
    """Predict all test volumes of one cell."""
    device = prepare(arguments.device)
    from fedfactory.methods.feddg.training import read_segmenter

    segment = read_segmenter(arguments.model, device)
    predict_cases(ClientView(arguments.data), segment, arguments.out, Progress(f"predict {arguments.cell}"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder made by feddg_train")
    parser.add_argument("--data", type=Path, required=True, help="the target's store")
    parser.add_argument("--device", choices=DEVICES, required=True)
    parser.add_argument("--cell", required=True, help="setup/client/method, for the progress")
    parser.add_argument("--out", type=Path, required=True)
    run_script(parser, main)
