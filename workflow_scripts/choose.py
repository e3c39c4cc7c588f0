"""Let a target's validation volumes choose among the states of a method's training."""

import argparse

from fedfactory.errors import FedFactoryError
from fedfactory.evaluation.choice import Choice
from fedfactory.orchestration.declared import load
from fedfactory.orchestration.job import run_script
from fedfactory.orchestration.trained_arguments import add_trained, trained_of


def main(arguments: argparse.Namespace) -> None:
    """Judge every state of one cell."""
    trained = trained_of(arguments)
    volumes = trained.view.labelled_volumes("validation")
    dice = load(arguments.choose)(trained, volumes) if volumes else {}
    if not dice:
        raise FedFactoryError(
            f"{arguments.data} has no labelled validation volume that shows a class, and the method chooses by them; "
            "raise 'split.validation', or let the method choose without ('validation: none')"
        )
    Choice(dice).write(arguments.out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--choose", required=True, help="function of the method's declaration, as module:name")
    add_trained(parser)
    run_script(parser, main)
