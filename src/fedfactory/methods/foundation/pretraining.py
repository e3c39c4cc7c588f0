"""Pre-training of a small foundation model on procedural tasks, and what it is worth on tasks that it never saw."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fedfactory.methods.foundation.parameters import PretrainingParameters
from fedfactory.methods.foundation.tasks import draw_task
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.checkpoints import Checkpoints
from fedfactory.training.loop import History, Learner, Losses, Training, adam
from fedfactory.training.losses import segmentation_loss
from fedfactory.training.seeds import derive_seed

# Tasks that are evaluated together; bounds the memory, changes nothing.
_TOGETHER = 8


@dataclass(frozen=True)
class Episodes:
    """Tasks with their samples.

    Attributes:
        images: (tasks, samples, 1, S, S) float32 in [0, 1].
        masks: (tasks, samples, 1, S, S) float32, 0 or 1.
    """

    images: Tensor
    masks: Tensor

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, chosen: Tensor | slice) -> Episodes:
        return Episodes(self.images[chosen], self.masks[chosen])


Segment = Callable[[Any, Episodes, torch.Generator | None], tuple[Tensor, Tensor]]
"""(network, tasks, stream of random prompts, or None for those of inference) -> logits and masks (n, 1, S, S)."""


def make_episodes(p: PretrainingParameters, size: int, count: int, seed: int, device: str) -> Episodes:
    """Draw tasks and their samples."""
    stream = np.random.default_rng(seed)
    drawn = [draw_task(p.families, size, stream, p.acquired).samples(p.samples, stream) for _ in range(count)]
    images, masks = (torch.from_numpy(np.stack(part))[:, :, None] for part in zip(*drawn, strict=True))
    return Episodes(images.to(device), masks.to(device, torch.float32))


def pretrain(
    network: nn.Module,
    segment: Segment,
    p: PretrainingParameters,
    size: int,
    seed: int,
    checkpoints: Checkpoints,
    progress: Progress,
    also: Mapping[str, Segment] | None = None,
) -> tuple[History, dict[str, dict[str, float]]]:
    """Train a network on procedural tasks; it ends in the state that does best on held-out tasks.

    Args:
        network: trained in place.
        segment: how it segments tasks.
        p: parameters.
        size: edge of the images.
        seed: of tasks and batches.
        checkpoints: where the training can go on from.
        progress: updated every step.
        also: other ways to segment, by name, in which the network shall be judged as well.

    Returns:
        The training's history, and mean Dice on tasks that neither trained nor chose the network: ``before``, with the
        weights that it began with, and ``after``; by way of segmenting, that of the training is called ``as_trained``.
    """
    device = str(next(network.parameters()).device)
    train, choose, judge = (
        make_episodes(p, size, count, derive_seed("tasks", name, seed), device)
        for name, count in (("train", p.pool), ("choose", p.held_out), ("judge", p.held_out))
    )
    before = copy.deepcopy(network.state_dict())

    def losses(step: int, stream: torch.Generator) -> Losses:
        chosen = train[torch.randint(len(train), (p.batch,), generator=stream)]
        logits, masks = segment(network, chosen, stream)
        # One foreground class against a background of logit zero: softmax is the sigmoid.
        both = torch.cat([torch.zeros_like(logits), logits], 1)
        return {"segmentation": segmentation_loss(both, masks[:, 0].to(torch.uint8), 1.0, 1.0)}

    learned = [x for x in network.parameters() if x.requires_grad]
    training = Training(
        {"network": Learner(network, adam(learned, p.learning_rate), p.learning_rate)},
        p.schedule,
        seed,
        losses,
        lambda: {"held-out": held_out_dice(network, segment, choose)},
    )
    history = training.run(checkpoints, progress)
    after = copy.deepcopy(network.state_dict())
    dice: dict[str, dict[str, float]] = {}
    for moment, weights in (("before", before), ("after", after)):
        network.load_state_dict(weights)
        for name, way in {"as_trained": segment, **(also or {})}.items():
            dice.setdefault(name, {})[moment] = held_out_dice(network, way, judge)
    return history, dice


@torch.no_grad()
def held_out_dice(network: nn.Module, segment: Segment, tasks: Episodes) -> float:
    """Mean Dice over all targets of some tasks, with the prompts of inference."""
    network.eval()
    values = []
    for start in range(0, len(tasks), _TOGETHER):
        logits, masks = segment(network, tasks[start : start + _TOGETHER], None)
        found, wanted = logits > 0, masks > 0.5
        both, either = ((x.sum((1, 2, 3))) for x in (found & wanted, found.long() + wanted.long()))
        values.append(2 * both[either > 0] / either[either > 0])
    return float(torch.cat(values).mean())
