"""Pre-train a small UniverSeg on procedural tasks."""

import argparse
import json
from pathlib import Path

from fedfactory.config.parameters import read
from fedfactory.methods.universeg.parameters import UniverSegParameters
from fedfactory.orchestration.job import run_script
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.checkpoints import Checkpoints
from fedfactory.storage.files import work_folder
from fedfactory.training.devices import DEVICES, prepare
from fedfactory.training.seeds import derive_seed


def main(arguments: argparse.Namespace) -> None:
    """Pre-train, or go on with it."""
    device = prepare(arguments.device)
    from fedfactory.methods.universeg.model import pretrain_universeg

    p = read(UniverSegParameters, json.loads(arguments.parameters), "parameters")
    identity = json.dumps([arguments.parameters, arguments.code, device])
    checkpoints = Checkpoints(work_folder(arguments.out), identity)
    seed = derive_seed("pretrain", arguments.method)
    pretrain_universeg(p, seed, device, checkpoints, arguments.out, Progress(f"pre-train {arguments.method}"))
    checkpoints.remove()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parameters", required=True, help="the method's parameters as JSON")
    parser.add_argument("--method", required=True, help="name of the method; the seed derives from it")
    parser.add_argument("--device", choices=DEVICES, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of the model")
    run_script(parser, main)
