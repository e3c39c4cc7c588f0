"""Segment a target's test volumes by UniverSeg, with M_t as support set."""

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
    from fedfactory.methods.universeg.model import open_universeg
    from fedfactory.methods.universeg.segmenter import SupportSet, UniverSegSegmenter

    named, view = verified(arguments.record, arguments.weights), ClientView(arguments.data)
    support = SupportSet.of(view.few_shot(), len(view.classes), arguments.size, device)
    segment = UniverSegSegmenter(open_universeg(arguments.weights, device), support, arguments.size)
    predict_cases(view, segment, arguments.out, Progress(f"predict {arguments.cell}"))
    write_named(arguments.named, named)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="folder made by universeg_pretrain, or a file")
    parser.add_argument("--size", type=int, required=True, help="edge of the images that the network reads")
    parser.add_argument("--data", type=Path, required=True, help="the target's store")
    parser.add_argument("--device", choices=DEVICES, required=True)
    parser.add_argument("--cell", required=True, help="setup/client/method, for the progress")
    parser.add_argument("--record", type=Path, required=True, help="that folder, or the record of the checked file")
    parser.add_argument("--named", type=Path, required=True, help="JSON: name and digest of the weights in use")
    parser.add_argument("--out", type=Path, required=True)
    run_script(parser, main)
