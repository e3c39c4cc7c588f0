"""Fine-tune a source model on the target's labelled slices M_t."""

import argparse
import json
from pathlib import Path

from fedfactory.config.parameters import read
from fedfactory.data.store import ClientView
from fedfactory.methods.nnunet.finetuning import finetune
from fedfactory.methods.nnunet.parameters import NnunetParameters
from fedfactory.orchestration.arguments import add_labels, add_training_arguments, training_seed
from fedfactory.orchestration.job import run_script
from fedfactory.orchestration.progress import Progress
from fedfactory.orchestration.training_checkpoints import checkpoints_of
from fedfactory.training.devices import resolve


def main(arguments: argparse.Namespace) -> None:
    """Fine-tune one model on the target's own data."""
    checkpoints = checkpoints_of(arguments, "", [arguments.source_model, arguments.data])
    view = ClientView(arguments.data, arguments.labels)
    finetune(
        arguments.source_model,
        view.few_shot(),
        read(NnunetParameters, json.loads(arguments.parameters), "--parameters"),
        training_seed(arguments),
        resolve(arguments.device),
        checkpoints,
        arguments.out,
        Progress(f"fine-tune {arguments.cell} seed {arguments.seed}"),
    )
    checkpoints.remove()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source-model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True, help="the target's store")
    add_labels(parser)
    add_training_arguments(parser)
    run_script(parser, main)
