"""Train FedDG for one target: a federation of all other clients, each in a process of its own."""

import argparse
import json

from fedfactory.devices import prepare
from fedfactory.progress import Progress
from fedfactory.script import run_script
from fedfactory.training_script import add_training_arguments, training_seed


def main(arguments: argparse.Namespace) -> None:
    """Train one cell, or go on with it."""
    device = prepare(arguments.device)
    from fedfactory.baselines.feddg.training import FedDGTask, train_feddg

    seed = training_seed(arguments)
    task = FedDGTask(
        parameters=json.loads(arguments.parameters),
        stores=json.loads(arguments.stores),
        size=arguments.size,
        classes=arguments.classes,
        seed=seed,
        device=device,
        identity=json.dumps([arguments.parameters, arguments.stores, arguments.size, seed, device, arguments.code]),
        work=arguments.out.with_name(f".{arguments.out.name}.work"),
        workers=arguments.workers,
    )
    train_feddg(task, arguments.out, Progress(f"FedDG {arguments.cell} seed {arguments.seed}"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stores", required=True, help="client -> its store, as JSON")
    parser.add_argument("--size", type=int, required=True, help="edge of the images")
    parser.add_argument("--classes", type=int, required=True, help="foreground classes")
    parser.add_argument("--workers", type=int, required=True, help="clients that train at the same time")
    parser.add_argument("--code", required=True, help="digest of the code; checkpoints of other code are not continued")
    add_training_arguments(parser)
    run_script(parser, main)
