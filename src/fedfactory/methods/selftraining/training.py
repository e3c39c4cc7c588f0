"""Self-training of the source's nnU-Net at a target."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from fedfactory.config.parameters import read
from fedfactory.data.deformation import deformed
from fedfactory.data.store import ClientView
from fedfactory.errors import FedFactoryError
from fedfactory.methods.contract import Fit
from fedfactory.methods.nnunet.inference import network_of
from fedfactory.methods.nnunet.model import read_model, write_model
from fedfactory.methods.nnunet.planning import CONFIGURATION
from fedfactory.methods.selftraining.objectives import (
    entropy,
    entropy_of_mean,
    pseudo_label_loss,
)
from fedfactory.methods.selftraining.parameters import SelfTrainingParameters
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.checkpoints import Checkpoints
from fedfactory.training.augmentation import jittered
from fedfactory.training.batches import random_batch
from fedfactory.training.devices import prepare
from fedfactory.training.loop import Average, History, Learner, Losses, Training, adam
from fedfactory.training.losses import faded_in, segmentation_loss

_NETWORK = "network"
# Name of nnU-Net's layers that turn features into logits.
_HEADS = "seg_layers"
_NORMALISATIONS = (nn.InstanceNorm2d, nn.BatchNorm2d)
# Of nnU-Net's own z-score.
_LEAST_DEVIATION = 1e-8
Flips = tuple[tuple[int, ...], ...]
"""Axes of images (n, 1, S, S) along which each of some flips goes."""


def fit(task: Fit, folder: Path) -> None:
    """Go on with the source's nnU-Net, and write it as an nnU-Net model with the losses beside it.

    Raises:
        FedFactoryError: the model segments something else, or the loss is not finite.
    """
    p = read(SelfTrainingParameters, task.parameters, "parameters")
    device = prepare(task.device)
    model = read_model(task.others[0])
    if tuple(model.card["classes"]) != task.view.classes:
        raise FedFactoryError(
            f"{task.view.folder} has the classes {', '.join(task.view.classes)}, {task.others[0]} segments "
            f"{', '.join(model.card['classes'])}; take the model of the same setup"
        )
    network = network_of(model, device)
    unlabelled = Slices.of(volume.images for volume in task.view.unlabelled_images("train"))
    _check_size(unlabelled.images.shape[-1], model.plans, task.view.folder)
    labelled = _of_m_t(task.view, p, task.seed) if p.batch.labelled else None
    # Where the teacher's labels count, they are means over flips, as nnU-Net's predictions.
    axes = [axis + 2 for axis in model.card["mirroring_axes"] or ()] if p.weights.pseudo_labels else []
    flips = tuple(chosen for count in range(len(axes) + 1) for chosen in combinations(axes, count))
    history = train(network, unlabelled, labelled, flips, p, task.seed, task.checkpoints, task.progress)
    weights = {name: value.cpu() for name, value in network.state_dict().items()}
    write_model(folder, replace(model, weights=weights, card={**model.card, "self_training": dict(task.parameters)}))
    history.write(folder)


@dataclass(frozen=True)
class Slices:
    """Slices as nnU-Net reads them.

    Attributes:
        images: (n, 1, S, S) float32 in [-1, 1].
        means, deviations: (n, 1, 1, 1), of the case that a slice belongs to, for nnU-Net's z-score.
        labels: (n, S, S) uint8; None without.
    """

    images: Tensor
    means: Tensor
    deviations: Tensor
    labels: Any = None

    @classmethod
    def of(cls, cases: Any, labels: np.ndarray | None = None) -> Slices:
        """Put cases (n_i, S, S) together."""
        parts = [np.asarray(case, np.float32) for case in cases]
        each = [len(part) for part in parts]
        figures = np.repeat([(part.mean(), max(float(part.std()), _LEAST_DEVIATION)) for part in parts], each, axis=0)
        means, deviations = torch.from_numpy(figures.astype(np.float32)).view(-1, 2, 1, 1, 1).unbind(1)
        masks = None if labels is None else torch.from_numpy(np.array(labels))
        return cls(torch.from_numpy(np.concatenate(parts))[:, None], means, deviations, masks)

    def draw(self, count: int, stream: torch.Generator) -> Tensor:
        """Indices (count,) of a random batch; without repetition where there are enough."""
        return random_batch(len(self.images), count, stream)

    def read(self, chosen: Tensor, jitter: float, stream: torch.Generator) -> Tensor:
        """Slices (count, 1, S, S), jittered and then normalised."""
        return (jittered(self.images[chosen], jitter, stream) - self.means[chosen]) / self.deviations[chosen]


def _check_size(edge: int, plans: Mapping[str, Any], store: Path) -> None:
    """Refuse slices that the network cannot make smaller as often as it does."""
    strides = plans["configurations"][CONFIGURATION]["architecture"]["arch_kwargs"]["strides"]
    total = max(math.prod(each) for each in zip(*strides, strict=True))
    if edge % total:
        raise FedFactoryError(
            f"{store} has slices of {edge} pixels, no multiple of the {total} by which the source's nnU-Net makes them "
            "smaller; choose another 'preprocessing.image_size'"
        )


def _of_m_t(view: ClientView, p: SelfTrainingParameters, seed: int) -> Slices:
    """M_t and deformed copies; each is a case of its own, as in nnU-Net's fine-tuning."""
    volume = view.few_shot()
    images, labels = deformed(volume.images, p.copies, seed, volume.labels)
    return Slices.of(images[:, None], labels)


def train(
    network: nn.Module,
    unlabelled: Slices,
    labelled: Slices | None,
    flips: Flips,
    p: SelfTrainingParameters,
    seed: int,
    checkpoints: Checkpoints,
    progress: Progress,
) -> History:
    """Train a network in place; it ends as the average of its weights.

    Args:
        network: slices (n, 1, S, S), normalised -> logits (n, classes + 1, S, S).
        unlabelled: of the target.
        labelled: M_t; None without.
        flips: over which the teacher's probabilities are means; the first is none.
        p: parameters.
        seed: of the batches.
        checkpoints: where the training can go on from.
        progress: updated every step.

    Raises:
        FedFactoryError: the loss is not finite.
    """
    learning = trained_parameters(network, p.trained)
    learner = Learner(network, adam(learning, p.learning_rate), p.learning_rate)
    teacher = Average([network], p.schedule.ema)
    losses = _Step(network, teacher, unlabelled, labelled, flips, p).losses
    training = Training({_NETWORK: learner}, p.schedule, seed, losses, validate=None, average=teacher)
    return training.run(checkpoints, progress)


def trained_parameters(network: nn.Module, which: str) -> list[nn.Parameter]:
    """Let a part of a network's parameters learn, and freeze the others.

    Args:
        network: of nnU-Net.
        which: ``all``; ``features``, all but those of the heads; or ``affine``, those of normalisation.

    Returns:
        Those that learn.
    """
    network.requires_grad_(which != "affine")
    for name, module in network.named_modules():
        if which == "features" and name.rpartition(".")[2] == _HEADS:
            module.requires_grad_(False)
        if which == "affine" and isinstance(module, _NORMALISATIONS):
            module.requires_grad_(True)
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


@dataclass(frozen=True)
class _Step:
    """Losses of one step."""

    network: nn.Module
    teacher: Average
    unlabelled: Slices
    labelled: Slices | None
    flips: Flips
    p: SelfTrainingParameters

    def losses(self, step: int, stream: torch.Generator) -> Losses:
        """Terms that have a weight."""
        p, w = self.p, self.p.weights
        chosen = self.unlabelled.draw(p.batch.unlabelled, stream)
        # Before the student, whose weights make way for the teacher's.
        taught = self._taught(chosen, stream) if w.consistency or w.pseudo_labels else None
        terms: dict[str, Tensor] = {}
        if self.labelled is not None:
            few = self.labelled.draw(p.batch.labelled, stream)
            logits = self._read(self.labelled, few, p.jitter, stream)
            labels = self.labelled.labels[few].to(logits.device)
            terms["M_t"] = w.labelled * segmentation_loss(logits, labels, 1.0, 1.0)
        logits = self._read(self.unlabelled, chosen, p.jitter, stream)
        found, fading = logits.softmax(1), faded_in(step, p.schedule.steps, p.ramp)
        if taught is not None and w.consistency:
            terms["consistency"] = fading * w.consistency * mse_loss(found, taught)
        if taught is not None and w.pseudo_labels:
            terms["pseudo-labels"] = fading * w.pseudo_labels * pseudo_label_loss(logits, taught, p.confidence)
        if w.entropy:
            terms["entropy"] = fading * w.entropy * entropy(found)
        if w.diversity:
            terms["diversity"] = -fading * w.diversity * entropy_of_mean(found)
        return terms

    def _read(self, slices: Slices, chosen: Tensor, jitter: float, stream: torch.Generator) -> Tensor:
        device = next(self.network.parameters()).device
        return self.network(slices.read(chosen, jitter, stream).to(device))

    @torch.no_grad()
    def _taught(self, chosen: Tensor, stream: torch.Generator) -> Tensor:
        """The teacher's probabilities of unlabelled slices as they are, as a mean over flips."""
        with self.teacher.in_place():
            images = self.unlabelled.read(chosen, 0.0, stream).to(next(self.network.parameters()).device)
            each = [self.network(images.flip(axes)).softmax(1).flip(axes) for axes in self.flips]
        return torch.stack(each).mean(0)
