"""Adapt one target from the factory, the source branch, the synthetic source set and the target's own data."""

import argparse
import json
from pathlib import Path

from fedfactory.config.parameters import read
from fedfactory.data.store import ClientView
from fedfactory.methods.ours.parameters import TargetParameters
from fedfactory.orchestration.arguments import add_labels, add_training_arguments, training_seed
from fedfactory.orchestration.job import run_script
from fedfactory.orchestration.labels import Labels
from fedfactory.orchestration.training_checkpoints import checkpoints_of
from fedfactory.training.devices import prepare


def main(arguments: argparse.Namespace) -> None:
    """Adapt one target, or go on with it, and write its model."""
    device = prepare(arguments.device)
    from fedfactory.methods.ours.adaptation import adapt_client
    from fedfactory.methods.ours.model import read_networks
    from fedfactory.methods.ours.perceptual import PerceptualParameters

    parameters = json.loads(arguments.parameters)
    source = read_networks(arguments.branch, arguments.factory, device, "source_branch")
    # One folder each, or none.
    looks, centralised = arguments.look, arguments.centralised
    inputs = [arguments.data, arguments.branch, arguments.synthetic, *looks, *centralised]
    adapt_client(
        client=arguments.client,
        view=ClientView(arguments.data, arguments.labels),
        source=source,
        synthetic=arguments.synthetic,
        look=looks[0] if looks else None,
        centralised=ClientView(centralised[0], Labels(training=True)) if centralised else None,
        p=read(TargetParameters, parameters["target"], "target"),
        loss=read(PerceptualParameters, parameters["perceptual"], "perceptual"),
        seed=training_seed(arguments),
        checkpoints=checkpoints_of(arguments, source.factory.digest, inputs),
        name=f"{arguments.cell} seed {arguments.seed}",
        out=arguments.out,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--factory", type=Path, required=True, help="folder made by factory_train")
    parser.add_argument("--branch", type=Path, required=True, help="folder made by source_branch")
    parser.add_argument("--synthetic", type=Path, required=True, help="folder made by synthetic_source")
    parser.add_argument("--data", type=Path, required=True, help="the target's store")
    add_labels(parser)
    parser.add_argument("--client", required=True, help="name of the target")
    parser.add_argument(
        "--look", type=Path, nargs="*", help="folder made by factory_look, for a target outside the federation"
    )
    parser.add_argument(
        "--centralised", type=Path, nargs="*", help="the source's store, for a control that is declared centralised"
    )
    add_training_arguments(parser)
    run_script(parser, main)
