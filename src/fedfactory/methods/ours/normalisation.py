"""What E_t and S_t normalise by at inference: averages of their training, or the target's own images.

In training a target's images are few in a batch, and translations of the source's share its running averages; at
inference they are alone. Statistics of the target's images, of all of them and with the weights that were left in the
end, are those of precise batch normalisation (Wu and Johnson, "Rethinking 'Batch' in BatchNorm", 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fedfactory.methods.ours.branch import SegmentationBranch
from fedfactory.methods.ours.encoder import TARGET, DomainNorm
from fedfactory.methods.ours.translator import Translator
from fedfactory.training.loop import Weights


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


def keep_better_statistics(
    networks: Mapping[str, nn.Module],
    running: Weights,
    take_own: Callable[[], None],
    read: Callable[[], dict[str, float]],
    margin: float,
) -> dict[str, float]:
    """Take a target's own statistics where M_t is read better with them, and the running averages where it is not.

    Args:
        networks: whose statistics change.
        running: what the networks hold now.
        take_own: changes them, as :func:`take_own_statistics` does.
        read: Dice of M_t by each way to read the networks as they are.
        margin: Dice by which M_t must be read better.

    Returns:
        Dice of M_t by the networks as they are left.
    """
    before = read()
    take_own()
    after = read()
    if after["both"] > before["both"] + margin:
        return after
    for name, network in networks.items():
        network.load_state_dict(running[name])
    return before
