"""The job of one target: what it reads, which of its branches can be read, and what it leaves.

The training itself, its loop and losses, is in :mod:`fedfactory.methods.ours.target`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from fedfactory.data.store import ClientView
from fedfactory.errors import FedFactoryError
from fedfactory.evaluation.dice import mean_foreground_dice
from fedfactory.methods.ours.encoder import BRANCHES, SOURCE, TARGET
from fedfactory.methods.ours.ending import BETTER, end_best, keep_better_statistics
from fedfactory.methods.ours.model import Stored, write_networks
from fedfactory.methods.ours.parameters import TargetParameters
from fedfactory.methods.ours.perceptual import PerceptualParameters, load_perceptual
from fedfactory.methods.ours.rendering import own_look, read_look
from fedfactory.methods.ours.segmenter import BranchSegmenter
from fedfactory.methods.ours.synthetic import SyntheticSet
from fedfactory.methods.ours.target import adapt
from fedfactory.methods.ours.target_data import TargetClient, TargetData, target_networks
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
    data = target.data()
    translator, branch = target_networks(source, target.look, p, seed)
    progress = Progress(f"adapt {name}")
    history = adapt(translator, source.branches[SOURCE], branch, data, p, perceptual, seed, checkpoints, progress)
    branches = {SOURCE: source.branches[SOURCE], TARGET: branch}
    segment = BranchSegmenter(translator, branches, TARGET, data.frame, p.symmetries)
    readable: dict[str, float] = {}
    if data.labelled is not None:
        read, left_out = partial(segment.slices_dice, *target.few_shot, data.classes), None
        if len(target.few_shot[0]) > 1:
            left_out = partial(dice_left_out, target, data, perceptual, checkpoints, name)
        readable = read() if p.end == "last" else end_best(translator, branch, data, p, seed, history, read, left_out)
    way = chosen_way(readable) if p.branches == "best" else p.branches
    with new_folder(out) as folder:
        write_networks(
            folder,
            source.architecture,
            translator,
            branches,
            history,
            client=client,
            frame=data.frame.zoom,
            symmetries=p.symmetries,
            read_at_inference=BRANCHES[way],
            ways=tuple(BRANCHES) if p.branches == "best" else (p.branches,),
            dice_on_m_t=readable,
            labelled_slices=0 if data.labelled is None else len(target.few_shot[0]),
            rendered_as=target.look.client,
            perceptual=known,
        )
    checkpoints.remove()


def dice_left_out(
    target: TargetClient, data: TargetData, perceptual: nn.Module, checkpoints: Checkpoints, name: str
) -> float:
    """Adapt without each slice of M_t in turn, and read it with what was learned from the others.

    Args:
        target: the target.
        data: what its adaptation may see.
        perceptual: LPIPS.
        checkpoints: of the adaptation; each of these trainings has a folder in theirs.
        name: of the cell and seed, for the progress.

    Returns:
        Mean foreground Dice of M_t by both branches.
    """
    assert data.labelled is not None, "there is nothing to leave out"
    images, labels = target.few_shot
    source, p, found = target.source, target.p, []
    # Deformed copies follow in the order of the slices, again and again.
    slice_of_copy = torch.arange(len(data.labelled)) % len(images)
    for number in range(len(images)):
        rest = replace(data, labelled=data.labelled.where(slice_of_copy != number))
        translator, branch = target_networks(source, target.look, p, target.seed)
        branches = {SOURCE: source.branches[SOURCE], TARGET: branch}
        own = Checkpoints(checkpoints.folder / f"without{number}", name)
        progress = Progress(f"adapt {name}, without slice {number + 1} of {len(images)}")
        adapt(translator, branches[SOURCE], branch, rest, p, perceptual, target.seed, own, progress)
        segment = BranchSegmenter(translator, branches, TARGET, data.frame, p.symmetries)
        taught = np.arange(len(images)) != number
        read = partial(segment.slices_dice, images[taught], labels[taught], data.classes)
        keep_better_statistics(translator, branch, rest, p, target.seed, read)
        found.append(segment.probabilities(images[number : number + 1]).argmax(1))
    return mean_foreground_dice(np.concatenate(found), labels, data.classes)


def chosen_way(dice: Mapping[str, float]) -> str:
    """Which branches are read where no validation volume may say so: both, unless S_t alone reads M_t better.

    S_s alone is never read: how it reads a translation of three slices says little of others.

    Args:
        dice: of M_t, by each way to read the branches; empty without M_t.
    """
    return "target" if dice and dice["target"] > dice["both"] + BETTER else "both"
