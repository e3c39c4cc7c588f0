"""Pre-train a small SAM on procedural tasks, or go on from another one."""

import argparse
import json
from pathlib import Path

from fedfactory.config.parameters import read
from fedfactory.methods.sam.parameters import SamParameters
from fedfactory.orchestration.job import run_script
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.checkpoints import Checkpoints
from fedfactory.storage.files import work_folder
from fedfactory.training.devices import DEVICES, prepare
from fedfactory.training.seeds import derive_seed


def main(arguments: argparse.Namespace) -> None:
    """Pre-train, or go on with it."""
    device = prepare(arguments.device)
    from fedfactory.methods.foundation.model import read_card
    from fedfactory.methods.sam.model import pretrain_sam

    p = read(SamParameters, json.loads(arguments.parameters), "parameters")
    # One folder, or none.
    start = next(iter(arguments.start), None)
    identity = json.dumps([arguments.parameters, arguments.code, device, start and read_card(start)["sha256"]])
    checkpoints = Checkpoints(work_folder(arguments.out), identity)
    seed, progress = derive_seed("pretrain", arguments.method), Progress(f"pre-train {arguments.method}")
    pretrain_sam(p, start, seed, device, checkpoints, arguments.out, progress)
    checkpoints.remove()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parameters", required=True, help="the method's parameters as JSON")
    parser.add_argument("--method", required=True, help="name of the method; the seed derives from it")
    parser.add_argument("--start", type=Path, nargs="*", help="folder of the model to go on from")
    parser.add_argument("--device", choices=DEVICES, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of the model")
    run_script(parser, main)
