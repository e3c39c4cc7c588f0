"""Adapt one target from the factory, the source branch, the synthetic source set and the target's own data."""

import argparse
import json
from pathlib import Path

from fedfactory.config.parameters import read
from fedfactory.data.store import ClientView
from fedfactory.errors import FedFactoryError
from fedfactory.methods.ours.parameters import TargetParameters
from fedfactory.orchestration.arguments import add_training_arguments, training_seed
from fedfactory.orchestration.job import run_script
from fedfactory.orchestration.progress import Progress
from fedfactory.orchestration.training_checkpoints import checkpoints_of
from fedfactory.storage.files import new_folder
from fedfactory.training.devices import prepare


def main(arguments: argparse.Namespace) -> None:
    """Adapt one target, or go on with it, and write its model."""
    device = prepare(arguments.device)
    from fedfactory.methods.ours.encoder import SOURCE, TARGET
    from fedfactory.methods.ours.model import read_networks, write_networks
    from fedfactory.methods.ours.perceptual import PerceptualParameters, load_perceptual
    from fedfactory.methods.ours.rendering import own_look, read_look
    from fedfactory.methods.ours.synthetic import SyntheticSet
    from fedfactory.methods.ours.target import BRANCHES, adapt
    from fedfactory.methods.ours.target_data import TargetClient, target_networks
    from fedfactory.methods.ours.trials import Trials

    parameters = json.loads(arguments.parameters)
    p = read(TargetParameters, parameters["target"], "target")
    seed = training_seed(arguments)
    source = read_networks(arguments.branch, arguments.factory, device, "source_branch")
    # One folder each, or none.
    looks, centralised = arguments.look, arguments.centralised
    look = read_look(looks[0], source.factory) if looks else own_look(source.factory, arguments.client)
    site = TargetClient(
        view=ClientView(arguments.data),
        source=source,
        synthetic=SyntheticSet.read(arguments.synthetic, source.factory),
        look=look,
        p=p,
        seed=seed,
        centralised=ClientView(centralised[0]) if centralised else None,
    )
    loss = PerceptualParameters.from_mapping(parameters["perceptual"], "perceptual")
    perceptual = load_perceptual(loss, device)
    if perceptual.digest != source.card["perceptual"]["digest"]:
        raise FedFactoryError(
            f"{arguments.branch} was trained with LPIPS by other weights ({source.card['perceptual']['digest'][:12]}) "
            f"than those here ({perceptual.digest[:12]}); take the same file"
        )
    inputs = [arguments.data, arguments.branch, arguments.synthetic, *looks, *centralised]
    checkpoints = checkpoints_of(arguments, source.factory.digest, inputs)
    name = f"{arguments.cell} seed {arguments.seed}"
    trials = Trials(site, perceptual, seed, checkpoints.folder / "trial", Progress(f"try {name}"))
    recipe = trials.choose()
    p, data = recipe.applied_to(p), site.data(recipe.frame, recipe.pairs)
    translator, branch = target_networks(source, site.look, p, seed)
    history = adapt(
        translator,
        source.branches[SOURCE],
        branch,
        data,
        p,
        perceptual,
        seed,
        checkpoints,
        Progress(f"adapt {name}"),
    )
    way = history.chosen[1] if history.chosen else "both" if p.branches == "best" else p.branches
    with new_folder(arguments.out) as folder:
        write_networks(
            folder,
            source.architecture,
            translator,
            {SOURCE: source.branches[SOURCE], TARGET: branch},
            history,
            client=arguments.client,
            frame=recipe.frame.zoom,
            pairs=recipe.pairs,
            read_at_inference=BRANCHES[way],
            tried=[
                {"frame": tried.frame.zoom, "pairs": tried.pairs, "dice": dice} for tried, dice in trials.tried.items()
            ],
            labelled_slices=0 if data.labelled is None else len(site.few_shot[0]),
            rendered_as=site.look.client,
            perceptual=source.card["perceptual"],
        )
    checkpoints.remove()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--factory", type=Path, required=True, help="folder made by factory_train")
    parser.add_argument("--branch", type=Path, required=True, help="folder made by source_branch")
    parser.add_argument("--synthetic", type=Path, required=True, help="folder made by synthetic_source")
    parser.add_argument("--data", type=Path, required=True, help="the target's store")
    parser.add_argument("--client", required=True, help="name of the target")
    parser.add_argument(
        "--look", type=Path, nargs="*", help="folder made by factory_look, for a target outside the federation"
    )
    parser.add_argument(
        "--centralised", type=Path, nargs="*", help="the source's store, for a control that is declared centralised"
    )
    add_training_arguments(parser)
    run_script(parser, main)
