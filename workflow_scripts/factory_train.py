"""Train a setup's factory by federated learning."""

import argparse
import json
from pathlib import Path

from fedfactory.factory.parameters import FactoryParameters
from fedfactory.factory.training import FactoryTask, train_factory
from fedfactory.orchestration.job import run_script
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.files import work_folder
from fedfactory.training.devices import DEVICES, resolve
from fedfactory.training.seeds import derive_seed


def main(arguments: argparse.Namespace) -> None:
    """Train one factory, or go on with it."""
    values = json.loads(arguments.parameters)
    encoder, kept = values.pop("encoder"), values.pop("keep_discriminator", False)
    parameters = FactoryParameters.from_json(values)
    files = {"data": arguments.stores, "factory_key.json": arguments.keys}
    task = FactoryTask(
        parameters=parameters,
        encoder=encoder,
        sites={
            client: {name: str(given[number]) for name, given in files.items() if given}
            for number, client in enumerate(parameters.clients)
        },
        seed=derive_seed("factory", arguments.setup, arguments.seed),
        device=resolve(arguments.device),
        code=arguments.code,
        workers=arguments.workers,
        # Beside the result, not in it: Snakemake clears the result of a killed job, and this must outlive it.
        work=work_folder(arguments.out),
        logs=arguments.log.parent,
        keep_discriminator=kept,
    )
    train_factory(task, arguments.out, Progress(f"factory {arguments.setup} seed {arguments.seed}"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--setup", required=True)
    parser.add_argument("--stores", type=Path, nargs="*", default=[], help="of each client; none where they are remote")
    parser.add_argument("--keys", type=Path, nargs="*", default=[], help="of each client; none where they are remote")
    parser.add_argument("--parameters", required=True, help="FactoryParameters, and EncoderParameters as JSON")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--device", choices=DEVICES, required=True)
    parser.add_argument("--workers", type=int, required=True, help="clients that train at the same time")
    parser.add_argument("--out", type=Path, required=True, help="folder of the factory")
    run_script(parser, main)
