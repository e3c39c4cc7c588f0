"""Predict a client's test volumes with an nnU-Net."""

import argparse
from pathlib import Path

from fedfactory.data.store import ClientView
from fedfactory.methods.contract import predict_cases
from fedfactory.methods.nnunet.inference import load_segmenter
from fedfactory.orchestration.job import run_script
from fedfactory.orchestration.progress import Progress
from fedfactory.training.devices import DEVICES, resolve


def main(arguments: argparse.Namespace) -> None:
    """Predict all test volumes of one cell."""
    segment = load_segmenter(arguments.model, resolve(arguments.device), arguments.mirroring)
    predict_cases(ClientView(arguments.data), segment, arguments.out, Progress(f"predict {arguments.cell}"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="the target's store")
    parser.add_argument("--device", choices=DEVICES, required=True)
    parser.add_argument("--mirroring", action="store_true", help="average over flips, as stock nnU-Net does")
    parser.add_argument("--cell", required=True, help="setup/client/method, for the progress")
    parser.add_argument("--out", type=Path, required=True)
    run_script(parser, main)
