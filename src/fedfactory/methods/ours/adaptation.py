"""The job of one target: what it reads, which recipe trials choose, and what it leaves.

The training itself, its loop and losses, is in :mod:`fedfactory.methods.ours.target`.
"""

from __future__ import annotations

from pathlib import Path

from fedfactory.data.store import ClientView
from fedfactory.errors import FedFactoryError
from fedfactory.methods.ours.encoder import SOURCE, TARGET
from fedfactory.methods.ours.model import Stored, write_networks
from fedfactory.methods.ours.parameters import TargetParameters
from fedfactory.methods.ours.perceptual import PerceptualParameters, load_perceptual
from fedfactory.methods.ours.rendering import own_look, read_look
from fedfactory.methods.ours.synthetic import SyntheticSet
from fedfactory.methods.ours.target import BRANCHES, adapt
from fedfactory.methods.ours.target_data import TargetClient, target_networks
from fedfactory.methods.ours.trials import Trials
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.checkpoints import Checkpoints
from fedfactory.storage.files import new_folder


def adapt_client(
    client: str,
    view: ClientView,
    source: Stored,
    synthetic: Path,
    look: Path | None,
    centralised: ClientView | None,
    p: TargetParameters,
    loss: PerceptualParameters,
    seed: int,
    checkpoints: Checkpoints,
    name: str,
    out: Path,
) -> None:
    """Adapt one target, or go on with it, and write its model.

    Args:
        client: name of the target.
        view: its store.
        source: the source branch.
        synthetic: folder of the synthetic source set.
        look: folder of the target's look; None for a client of the federation, whose look the factory knows.
        centralised: the source's store, for the control with real source samples.
        p: parameters.
        loss: which LPIPS.
        seed: of weights and batches.
        checkpoints: where the training can go on from; removed at the end.
        name: of the cell and seed, for the progress.
        out: folder of the model; written whole or not at all.

    Raises:
        FedFactoryError: inputs that do not belong together, or a loss that is not finite.
    """
    factory, known = source.factory, source.card["perceptual"]
    perceptual = load_perceptual(loss, factory.device)
    if perceptual.digest != known["digest"]:
        raise FedFactoryError(
            f"the source branch was trained with LPIPS by other weights ({known['digest'][:12]}) than those here "
            f"({perceptual.digest[:12]}); take the same file"
        )
    target = TargetClient(
        view=view,
        source=source,
        synthetic=SyntheticSet.read(synthetic, factory),
        look=own_look(factory, client) if look is None else read_look(look, factory),
        p=p,
        seed=seed,
        centralised=centralised,
    )
    trials = Trials(target, perceptual, seed, checkpoints.folder / "trial", Progress(f"try {name}"))
    recipe = trials.choose()
    p, data = recipe.applied_to(p), target.data(recipe.frame, recipe.pairs)
    translator, branch = target_networks(source, target.look, p, seed)
    history = adapt(
        translator,
        source.branches[SOURCE],
        branch,
        data,
        p,
        perceptual,
        seed,
        trials.begun(recipe) or checkpoints,
        Progress(f"adapt {name}"),
    )
    way = history.chosen[1] if history.chosen else "both" if p.branches == "best" else p.branches
    with new_folder(out) as folder:
        write_networks(
            folder,
            source.architecture,
            translator,
            {SOURCE: source.branches[SOURCE], TARGET: branch},
            history,
            client=client,
            frame=recipe.frame.zoom,
            pairs=recipe.pairs,
            read_at_inference=BRANCHES[way],
            tried=[
                {"frame": tried.frame.zoom, "pairs": tried.pairs, "dice": dice} for tried, dice in trials.tried.items()
            ],
            labelled_slices=0 if data.labelled is None else len(target.few_shot[0]),
            rendered_as=target.look.client,
            perceptual=known,
        )
    checkpoints.remove()
