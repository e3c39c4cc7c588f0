"""Segment a target's test volumes by SAM's fine-tuned decoders."""

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
    from fedfactory.methods.foundation.model import verified, write_named
    from fedfactory.methods.sam.model import read_segmenter
    from fedfactory.methods.sam.oracle import with_truth

    named = verified(arguments.record, arguments.weights)
    segment, view = read_segmenter(arguments.model, arguments.weights, device), ClientView(arguments.data)
    if arguments.truth is not None:
        segment = with_truth(segment, view, arguments.truth)
    predict_cases(view, segment, arguments.out, Progress(f"predict {arguments.cell}"))
    write_named(arguments.named, named)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder made by sam_tune")
    parser.add_argument("--weights", type=Path, required=True, help="folder made by sam_pretrain, or a file")
    parser.add_argument("--data", type=Path, required=True, help="the target's store")
    parser.add_argument("--truth", type=Path, help="of its test volumes, for the prompt oracle_box alone")
    parser.add_argument("--device", choices=DEVICES, required=True)
    parser.add_argument("--cell", required=True, help="setup/client/method, for the progress")
    parser.add_argument("--record", type=Path, required=True, help="that folder, or the record of the checked file")
    parser.add_argument("--named", type=Path, required=True, help="JSON: name and digest of the weights in use")
    parser.add_argument("--out", type=Path, required=True)
    run_script(parser, main)
