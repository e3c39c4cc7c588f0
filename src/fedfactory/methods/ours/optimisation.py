"""How source branch and adaptation learn: which optimiser for which network, and the ramp."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from fedfactory.methods.ours.parameters import AdaptationSchedule
from fedfactory.training.loop import Learner, Lookahead, Losses, Plain, Training


def training_of(
    encoder: nn.Module,
    branch: nn.Module,
    schedule: AdaptationSchedule,
    seed: int,
    losses: Callable[[int, float, torch.Generator], Losses],
    validate: Callable[[], Mapping[str, float]] | None,
) -> Training:
    """A training of an encoder (Ranger) and a segmentation branch (Adam).

    Args:
        encoder: E; parameters that need no gradient stay.
        branch: the branch that learns.
        schedule: length and rates.
        seed: of the batches.
        losses: (step, ramp, stream) -> terms of the loss.
        validate: validation Dice for each way to read the networks, or None.
    """
    p = schedule
    ranger = Lookahead([x for x in encoder.parameters() if x.requires_grad], p.encoder_rate, p.beta2)
    adam = Plain(torch.optim.Adam(branch.parameters(), lr=p.branch_rate))
    learners = {"encoder": Learner(encoder, ranger, p.encoder_rate), "branch": Learner(branch, adam, p.branch_rate)}

    def ramped(step: int, stream: torch.Generator) -> Losses:
        ramp = min(1.0, step / (p.ramp * p.steps)) if p.ramp else 1.0
        return losses(step, ramp, stream)

    return Training(learners, p, seed, ramped, validate)
