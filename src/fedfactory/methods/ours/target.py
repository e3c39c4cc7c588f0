"""Adaptation of one target, from synthetic source samples and the target's own images (paper, section 3.2).

This page is the training: its loop, and the losses and the batch of a step. What comes before and after is in
:mod:`fedfactory.methods.ours.adaptation`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fedfactory.methods.ours.branch import SegmentationBranch
from fedfactory.methods.ours.encoder import DOMAINS, SOURCE, TARGET, Runs
from fedfactory.methods.ours.losses import content_share, reconstruction_loss
from fedfactory.methods.ours.model import BRANCH, ENCODER
from fedfactory.methods.ours.parameters import TargetParameters
from fedfactory.methods.ours.samples import moved_by, symmetry_of
from fedfactory.methods.ours.target_data import TargetData
from fedfactory.methods.ours.translator import Rendering, Translator
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.checkpoints import Checkpoints
from fedfactory.training.augmentation import jittered
from fedfactory.training.batches import resize
from fedfactory.training.loop import History, Learner, Losses, Ranger, Training, adam
from fedfactory.training.losses import segmentation_loss

_BRANCH_NAMES = ("S_s", "S_t")


@dataclass(frozen=True)
class Batch:
    """Images of one domain in a step.

    Attributes:
        images: (n, 1, s, s).
        labels: of the first ones, (m, S, S) uint8, m <= n; None without.
        paired: which images have a counterpart in the other domain; None without.
        counterparts: theirs, (k, 1, s, s).
    """

    images: Tensor
    labels: Tensor | None
    paired: slice | None = None
    counterparts: Tensor | None = None


def adapt(
    translator: Translator,
    source_branch: SegmentationBranch,
    target_branch: SegmentationBranch,
    data: TargetData,
    p: TargetParameters,
    perceptual: nn.Module,
    seed: int,
    checkpoints: Checkpoints,
    progress: Progress,
) -> History:
    """Train E_t and S_t; F and S_s stay as they are.

    Even steps are intra-domain: both domains' images are encoded with their own label and reconstructed; S_s segments
    the source's, S_t the target's. Odd steps are inter-domain: images are encoded with the other label, the branch of
    that other domain segments the translation against the label of the original, and the translation, detached, is
    encoded back: cycle consistency. With factory pairs a synthetic image and its counterpart are each other's
    translation, and the counterpart carries the label.

    Args:
        translator: E_t and F; E_t is trained in place.
        source_branch: S_s, frozen.
        target_branch: S_t, trained in place.
        data: what may be seen.
        p: parameters.
        perceptual: LPIPS.
        seed: of the batches.
        checkpoints: where the training can go on from.
        progress: updated every step.

    Returns:
        How it went, with the states on the way; the networks are in the last one.

    Raises:
        FedFactoryError: the loss is not finite.
    """
    source_branch.requires_grad_(False).eval()
    branches = {SOURCE: source_branch, TARGET: target_branch}
    encoder, schedule = translator.encoder, p.schedule
    ranger = Ranger([x for x in encoder.parameters() if x.requires_grad], schedule.encoder_rate, schedule.beta2)
    learners = {
        ENCODER: Learner(encoder, ranger, schedule.encoder_rate),
        BRANCH: Learner(target_branch, adam(target_branch.parameters(), schedule.branch_rate), schedule.branch_rate),
    }
    losses = Step(translator, branches, data, p, perceptual).losses
    return Training(learners, schedule, seed, losses, validate=None, keep=True).run(checkpoints, progress)


@dataclass(frozen=True)
class Step:
    """Losses of one step."""

    translator: Translator
    branches: Mapping[int, SegmentationBranch]
    data: TargetData
    p: TargetParameters
    perceptual: nn.Module

    def losses(self, step: int, stream: torch.Generator) -> Losses:
        """Terms of an intra-domain (even) or inter-domain (odd) step.

        Only the branches and the encoder's normalisation see the domains one by one; all else sees both in one batch.
        """
        batches = self.draw(stream)
        inter, ramp = step % 2 == 1, content_share(step, self.p.schedule)
        own = [len(batch.images) for batch in batches]
        labels = torch.tensor([SOURCE, TARGET], device=batches[SOURCE].images.device).repeat_interleave(
            torch.tensor(own, device=batches[SOURCE].images.device)
        )
        images = torch.cat([batch.images for batch in batches])
        found = self._decode(images, list(enumerate(own)), 1 - labels if inter else labels, ramp)
        terms = self.segmentation(found, batches, own, inter)
        if not inter:
            return terms | {"reconstruction": self.reconstruction(found.image, images)}
        translated = found.image.split(own)
        pairs = [
            (image[batch.paired], batch.counterparts)
            for image, batch in zip(translated, batches, strict=True)
            if batch.paired
        ]
        if pairs:
            terms["translation"] = self.reconstruction(*(torch.cat(side) for side in zip(*pairs, strict=True)))
        if self.p.weights.cycle:
            # The way back starts from what the translation looks like, and teaches the way back only.
            back = resize(found.image.detach(), self.translator.encoder.size)
            cycle = self._decode(back, [(1 - domain, count) for domain, count in enumerate(own)], labels, ramp)
            terms["cycle"] = self.p.weights.cycle * self.reconstruction(cycle.image, images)
        return terms

    def _decode(self, images: Tensor, runs: Runs, labels: Tensor, ramp: float) -> Rendering:
        """Encode images of both domains, and render each with the label of its result."""
        return self.translator.decode(self.translator.encoder(images, runs), labels, ramp)

    def draw(self, stream: torch.Generator) -> list[Batch]:
        """Images of the source's and of the target's domain; synthetic ones and M_t first, then pairs, then others."""
        data, counts = self.data, self.p.batch
        chosen = data.source.draw(counts.source, stream)
        own = [data.source.images[chosen]], [data.source.labels[chosen]]
        target: tuple[list[Tensor], list[Tensor]] = [], []
        if data.labelled is not None:
            chosen = data.labelled.draw(counts.labelled, stream)
            target = [data.labelled.images[chosen]], [data.labelled.labels[chosen]]
        paired: list[Any] = [None, None]
        counterparts: list[Any] = [None, None]
        if data.pairs is not None:
            chosen = data.source.draw(counts.pairs, stream)
            sides = [data.source.images[chosen], data.pairs.images[chosen]]
            for domain, (images, labels) in enumerate((own, target)):
                start = sum(map(len, images))
                paired[domain], counterparts[domain] = slice(start, start + counts.pairs), sides[1 - domain]
                images.append(sides[domain])
                labels.append(data.source.labels[chosen])
        if counts.unlabelled:
            target[0].append(data.unlabelled.images[data.unlabelled.draw(counts.unlabelled, stream)])
        symmetry = symmetry_of(self.p.symmetries, stream)
        return [
            Batch(
                moved_by(symmetry, jittered(torch.cat(images), self.p.jitter, stream)),
                moved_by(symmetry, torch.cat(labels)) if labels else None,
                paired[domain],
                None if counterparts[domain] is None else moved_by(symmetry, counterparts[domain]),
            )
            for domain, (images, labels) in enumerate((own, target))
        ]

    def reconstruction(self, found: Tensor, wanted: Tensor) -> Tensor:
        """Weighted reconstruction loss of images."""
        w = self.p.weights
        return reconstruction_loss(found, wanted, w.mse, w.lpips, self.perceptual)

    def segmentation(
        self, found: Rendering, batches: Sequence[Batch], own: Sequence[int], inter: bool
    ) -> dict[str, Tensor]:
        """Loss of the branch that reads images with the label of a domain, over the labelled images of each batch."""
        terms, start, w = {}, 0, self.p.weights
        for domain, (batch, count) in enumerate(zip(batches, own, strict=True)):
            label = 1 - domain if inter else domain
            if batch.labels is not None:
                maps = [x[start : start + len(batch.labels)] for x in found.maps]
                if label == TARGET and not self.p.branch_trains_encoder:
                    maps = [x.detach() for x in maps]
                logits = self.branches[label](maps, self.data.size)
                loss = segmentation_loss(logits, batch.labels, w.dice, w.cross_entropy)
                terms[f"{DOMAINS[domain]} by {_BRANCH_NAMES[label]}"] = loss
            start += count
        return terms
