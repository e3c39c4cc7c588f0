"""Adaptation of one target, from synthetic source samples and the target's own images (paper, section 3.2)."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from fedfactory.data.store import Volume
from fedfactory.evaluation.dice import mean_foreground_dice
from fedfactory.methods.ours.branch import SegmentationBranch
from fedfactory.methods.ours.encoder import DOMAINS, SOURCE, TARGET, Encoding
from fedfactory.methods.ours.field_of_view import FieldOfView
from fedfactory.methods.ours.losses import reconstruction_loss
from fedfactory.methods.ours.optimisation import training_of
from fedfactory.methods.ours.parameters import TargetParameters
from fedfactory.methods.ours.samples import Samples, jittered, moved_by, symmetry_of
from fedfactory.methods.ours.segmenter import BranchSegmenter, mean_of
from fedfactory.methods.ours.translator import Rendering, Translator
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.checkpoints import Checkpoints
from fedfactory.training.batches import resize
from fedfactory.training.loop import History, Losses
from fedfactory.training.losses import segmentation_loss

BRANCHES = {"both": (SOURCE, TARGET), "source": (SOURCE,), "target": (TARGET,)}
"""Ways to read the networks at inference: which domains' branches are averaged."""
_BRANCH_NAMES = ("S_s", "S_t")


@dataclass(frozen=True)
class TargetData:
    """What an adaptation may see.

    Attributes:
        source: source images with S_s's labels (synthetic ones, unless a control takes real ones).
        pairs: the same synthetic images with the target's look, in the order of ``source``; None without factory pairs.
        labelled: slices of M_t; None at zero labels.
        unlabelled: the target's training images.
        validation: labelled validation volumes; empty with ``validation: none``.
        frame: from the target's field of view to the source's.
        size: edge of the labels.
        classes: foreground classes.
    """

    source: Samples
    pairs: Samples | None
    labelled: Samples | None
    unlabelled: Samples
    validation: Sequence[Volume]
    frame: FieldOfView
    size: int
    classes: int


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
    """
    source_branch.requires_grad_(False).eval()
    branches = {SOURCE: source_branch, TARGET: target_branch}
    step = Step(translator, branches, data, p, perceptual)
    ways = tuple(BRANCHES) if p.branches == "best" else (p.branches,)
    segment = BranchSegmenter(translator, branches, TARGET, data.frame)

    def validate() -> dict[str, float]:
        dice: dict[str, list[float]] = {way: [] for way in ways}
        for volume in data.validation:
            found = segment.by_branch(volume.images)
            for way in ways:
                mask = mean_of(found, BRANCHES[way]).argmax(1)
                value = mean_foreground_dice(mask, volume.labels, data.classes)
                # A volume without any class, on either side, says nothing.
                dice[way] += [] if math.isnan(value) else [value]
        return {way: statistics.fmean(values) for way, values in dice.items() if values}

    return training_of(
        translator.encoder, target_branch, p.schedule, seed, step.losses, validate if data.validation else None
    ).run(checkpoints, progress)


@dataclass(frozen=True)
class Step:
    """Losses of one step."""

    translator: Translator
    branches: Mapping[int, SegmentationBranch]
    data: TargetData
    p: TargetParameters
    perceptual: nn.Module

    def losses(self, step: int, ramp: float, stream: torch.Generator) -> Losses:
        """Terms of an intra-domain (even) or inter-domain (odd) step.

        Only the encoder, which normalises by domain, and the branches see the domains one by one; the factory and LPIPS
        see both in one batch.
        """
        batches = self.draw(stream)
        inter = step % 2 == 1
        own = [len(batch.images) for batch in batches]
        labels = torch.tensor([SOURCE, TARGET], device=batches[SOURCE].images.device).repeat_interleave(
            torch.tensor(own, device=batches[SOURCE].images.device)
        )
        images = torch.cat([batch.images for batch in batches])
        found = self._decode(
            [batch.images for batch in batches], (SOURCE, TARGET), 1 - labels if inter else labels, ramp
        )
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
            back = [resize(image.detach(), self.translator.encoder.size) for image in translated]
            cycle = self._decode(back, (TARGET, SOURCE), labels, ramp)
            terms["cycle"] = self.p.weights.cycle * self.reconstruction(cycle.image, images)
        return terms

    def _decode(self, images: Sequence[Tensor], domains: Sequence[int], labels: Tensor, ramp: float) -> Rendering:
        """Encode batches, each of one domain, and render all of them with the labels of their results."""
        translator = self.translator
        encoded = [translator.encode(batch, domain) for batch, domain in zip(images, domains, strict=True)]
        return translator.decode(Encoding.cat(encoded), labels, ramp)

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
