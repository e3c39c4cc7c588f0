"""What an adaptation ends as where no validation volume may say so: its last state, or what reads M_t better.

Two other ends are looked at. The first has other statistics. In training a target's images are few in a batch, and
translations of the source's share its running averages; at inference they are alone. Statistics of the target's images,
of all of them and with the weights that were left in the end, are those of precise batch normalisation (Wu and Johnson,
"Rethinking 'Batch' in BatchNorm", 2021).

The second is the start, which has not seen M_t: a training has failed that has seen it and reads it worse. Where the
start reads M_t well, this asks too little; what counts there is how slices of M_t are read by trainings that were not
taught them (leave-one-out cross-validation).
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from fedfactory.methods.ours.branch import SegmentationBranch
from fedfactory.methods.ours.encoder import TARGET, DomainNorm
from fedfactory.methods.ours.model import BRANCH, ENCODER
from fedfactory.methods.ours.parameters import TargetParameters
from fedfactory.methods.ours.target_data import TargetData
from fedfactory.methods.ours.translator import Translator
from fedfactory.training.loop import History, Weights

log = logging.getLogger(__name__)

Read = Callable[[], dict[str, float]]
"""Dice of M_t by each way to read the networks as they are."""

# Dice of M_t by which another end, or S_t alone, must be ahead: less says nothing of slices that were taught.
BETTER = 0.005


def end_best(
    translator: Translator,
    branch: SegmentationBranch,
    data: TargetData,
    p: TargetParameters,
    seed: int,
    history: History,
    read: Read,
    left_out: Callable[[], float] | None,
) -> dict[str, float]:
    """Leave E_t and S_t as that of the three ends which reads M_t best.

    Args:
        translator: E_t and F, in the last state of the history.
        branch: S_t, likewise.
        data: of the target.
        p: parameters.
        seed: of the order of images.
        history: of the training; its last state gets the statistics that are kept, and is there even if another end is.
        read: of M_t.
        left_out: trains without each slice of M_t in turn, and gives the Dice of those that were left out; None where
            M_t is a single slice.

    Returns:
        Dice of M_t by the networks as they are left.
    """
    networks = {ENCODER: translator.encoder, BRANCH: branch}
    ended = keep_better_statistics(translator, branch, data, p, seed, read)
    end = history.states[p.schedule.steps] = _weights(networks)
    _load(networks, history.states[0])
    start, learned = read(), ended["both"]
    if left_out and p.left_out_from is not None and start["both"] >= p.left_out_from:
        learned = left_out()
        log.info("Dice of M_t: %.3f by the start, %.3f by trainings without the slice", start["both"], learned)
    if start["both"] > learned + BETTER:
        return start
    _load(networks, end)
    return ended


def keep_better_statistics(
    translator: Translator, branch: SegmentationBranch, data: TargetData, p: TargetParameters, seed: int, read: Read
) -> dict[str, float]:
    """Take statistics of the target's own images where M_t is then read better; arguments as of :func:`end_best`."""
    batch = p.batch.labelled + p.batch.unlabelled + p.batch.pairs
    take_own = partial(take_own_statistics, translator, branch, data.unlabelled.images, data.size, batch, seed)
    return keep_better({ENCODER: translator.encoder, BRANCH: branch}, take_own, read)


@torch.no_grad()
def take_own_statistics(
    translator: Translator, branch: SegmentationBranch, images: Tensor, size: int, batch: int, seed: int
) -> None:
    """Put means and variances over a target's images into the normalisation of E_t and S_t.

    Args:
        translator: E_t and F.
        branch: S_t.
        images: (n, 1, s, s) as the encoder reads them, without labels.
        size: edge of the labels.
        batch: images that are normalised together, as in training; what is left over stays out.
        seed: of their order.
    """
    norms: list[Any] = [
        module.domains[TARGET] for module in translator.encoder.modules() if isinstance(module, DomainNorm)
    ]
    norms += [module for module in branch.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        # The mean over all batches.
        norm.momentum = None
    translator.encoder.train()
    branch.train()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    for chosen in order[: max(batch, len(order) // batch * batch)].split(batch):
        branch(translator.decode(translator.encode(images[chosen], TARGET), TARGET).maps, size)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def keep_better(networks: Mapping[str, nn.Module], change: Callable[[], None], read: Read) -> dict[str, float]:
    """Change networks, and take that back unless both branches then read M_t better than before.

    Args:
        networks: that change.
        change: changes them.
        read: Dice of M_t by each way to read the networks as they are.

    Returns:
        Dice of M_t by the networks as they are left.
    """
    kept, before = _weights(networks), read()
    change()
    after = read()
    if after["both"] > before["both"] + BETTER:
        return after
    _load(networks, kept)
    return before


def _weights(networks: Mapping[str, nn.Module]) -> Weights:
    return {name: copy.deepcopy(network.state_dict()) for name, network in networks.items()}


def _load(networks: Mapping[str, nn.Module], weights: Weights) -> None:
    for name, network in networks.items():
        network.load_state_dict(weights[name])
