"""Fine-tune SAM's mask decoder on a target's M_t."""

import argparse
import json
from pathlib import Path

from fedfactory.config.parameters import read
from fedfactory.data.store import ClientView
from fedfactory.methods.sam.parameters import SamParameters
from fedfactory.orchestration.arguments import add_labels, add_training_arguments, training_seed
from fedfactory.orchestration.job import run_script
from fedfactory.orchestration.progress import Progress
from fedfactory.orchestration.training_checkpoints import checkpoints_of
from fedfactory.storage.files import new_folder
from fedfactory.training.devices import prepare


def main(arguments: argparse.Namespace) -> None:
    """Tune the decoders of one cell, or go on with it."""
    device = prepare(arguments.device)
    from fedfactory.methods.foundation.model import verified
    from fedfactory.methods.sam.model import open_sam, write_decoders
    from fedfactory.methods.sam.tuning import tune

    p = read(SamParameters, json.loads(arguments.parameters), "parameters")
    view = ClientView(arguments.data, arguments.labels)
    named = verified(arguments.record, arguments.weights)
    sam = open_sam(arguments.weights, p.reads, device)
    checkpoints = checkpoints_of(arguments, "", [arguments.data, arguments.record])
    progress = Progress(f"tune {arguments.cell} seed {arguments.seed}")
    decoders, history = tune(
        sam,
        view.few_shot(),
        p.prompt,
        p.tuning,
        len(view.classes),
        training_seed(arguments),
        checkpoints,
        progress,
    )
    with new_folder(arguments.out) as folder:
        write_decoders(folder, decoders, history, prompt=p.prompt, normalisation=p.reads, **named)
    checkpoints.remove()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="folder made by sam_pretrain, or a file")
    parser.add_argument("--record", type=Path, required=True, help="that folder, or the record of the checked file")
    parser.add_argument("--data", type=Path, required=True, help="the target's store")
    add_labels(parser)
    add_training_arguments(parser)
    run_script(parser, main)
