"""The source branch: encoder E_s and segmentation branch S_s, trained at the source client (paper, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from fedfactory.data.deformation import deformed
from fedfactory.data.store import Volume
from fedfactory.errors import FedFactoryError
from fedfactory.factory.model import Factory
from fedfactory.methods.ours.architecture import Architecture
from fedfactory.methods.ours.branch import SegmentationBranch
from fedfactory.methods.ours.encoder import SOURCE
from fedfactory.methods.ours.field_of_view import FieldOfView
from fedfactory.methods.ours.losses import content_share, reconstruction_loss
from fedfactory.methods.ours.parameters import SourceParameters
from fedfactory.methods.ours.rendering import Look
from fedfactory.methods.ours.samples import Samples, slices_of, stack
from fedfactory.methods.ours.segmenter import BranchSegmenter
from fedfactory.methods.ours.translator import Translator
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.checkpoints import Checkpoints
from fedfactory.training.augmentation import jittered
from fedfactory.training.batches import batches, resize
from fedfactory.training.loop import History, Learner, Losses, Ranger, Training, adam
from fedfactory.training.losses import segmentation_loss
from fedfactory.training.seeds import derive_seed

_STILL = FieldOfView(0.0)


@dataclass(frozen=True)
class SourceBranch:
    """A trained source branch.

    Attributes:
        translator: encoder E_s and the factory.
        branch: S_s.
        limits: worst reconstruction error and doubt of the source's validation slices, for the filter of the synthetic
            set.
        history: of the training.
    """

    translator: Translator
    branch: SegmentationBranch
    limits: dict[str, float]
    history: History


def train_source(
    factory: Factory,
    look: Look,
    architecture: Architecture,
    p: SourceParameters,
    train: Sequence[Volume],
    validation: Sequence[Volume],
    perceptual: nn.Module,
    seed: int,
    checkpoints: Checkpoints,
    progress: Progress,
) -> SourceBranch:
    """Train E_s and S_s on the source's labelled volumes with F frozen.

    Args:
        factory: F.
        look: of the source.
        architecture: of the networks.
        p: parameters.
        train: labelled volumes.
        validation: labelled volumes; the state with the best mean Dice over them is taken.
        perceptual: LPIPS.
        seed: of weights and batches.
        checkpoints: where the training can go on from.
        progress: updated every step.

    Raises:
        FedFactoryError: no validation volume, or a loss that is not finite.
    """
    if not train or not validation:
        raise FedFactoryError(
            "the source branch needs labelled training and validation volumes of the source; raise 'split.validation' "
            "or label more volumes"
        )
    translator, branch = architecture.networks(factory, seed)
    translator.means.copy_(look.mean(factory))
    classes = len(architecture.classes)
    images, labels = stack(v.images for v in train), stack(v.labels for v in train)
    copies = deformed(images, p.copies, derive_seed("copies", seed), labels)
    samples = slices_of(*copies, classes, _STILL, p.encoder.image_size, factory.device)
    size = images.shape[-1]
    segment = BranchSegmenter(translator, {SOURCE: branch}, SOURCE, _STILL)

    def losses(step: int, stream: torch.Generator) -> Losses:
        ramp = content_share(step, p.schedule)
        return source_losses(translator, branch, samples, p, perceptual, size, ramp, stream)

    def validate() -> dict[str, float]:
        return segment.validation_dice(validation, {"source": (SOURCE,)}, classes)

    encoder, rates = translator.encoder, p.schedule
    ranger = Ranger([x for x in encoder.parameters() if x.requires_grad], rates.encoder_rate, rates.beta2)
    learners = {
        "encoder": Learner(encoder, ranger, rates.encoder_rate),
        "branch": Learner(branch, adam(branch.parameters(), rates.branch_rate), rates.branch_rate),
    }
    history = Training(learners, p.schedule, seed, losses, validate).run(checkpoints, progress)
    _, error, doubt = assess(translator, branch, stack(v.images for v in validation), size)
    limits = {"error": float(error.max()), "doubt": float(doubt.max())}
    return SourceBranch(translator, branch, limits, history)


def source_losses(
    translator: Translator,
    branch: SegmentationBranch,
    samples: Samples,
    p: SourceParameters,
    perceptual: nn.Module,
    size: int,
    ramp: float,
    stream: torch.Generator,
) -> Losses:
    """Terms of one step's loss.

    Args:
        translator: E_s and F.
        branch: S_s.
        samples: labelled slices.
        p: parameters.
        perceptual: LPIPS.
        size: edge of the labels.
        ramp: share of the content features.
        stream: of the batch.
    """
    chosen, w = samples.draw(p.batch, stream), p.weights
    batch = jittered(samples.images[chosen], p.jitter, stream)
    found = translator.decode(translator.encode(batch, SOURCE), SOURCE, ramp)
    logits, wanted = branch(found.maps, size), samples.labels[chosen]
    return {
        "reconstruction": reconstruction_loss(found.image, batch, w.mse, w.lpips, perceptual),
        "segmentation": segmentation_loss(logits, wanted, w.dice, w.cross_entropy),
    }


@torch.no_grad()
def assess(
    translator: Translator, branch: SegmentationBranch, images: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Label images of the source, and say how well the source branch knows them.

    Args:
        translator: E_s and F.
        branch: S_s.
        images: (n, s, s) float32 in [-1, 1].
        size: edge L of the labels.

    Returns:
        Labels (n, L, L) uint8; root mean square error of the reconstruction (n,); doubt (n,): mean over the pixels of
        one minus the largest probability.
    """
    translator.encoder.eval()
    branch.eval()
    labels, errors, doubts = [], [], []
    for batch, count in batches(torch.from_numpy(np.array(images, dtype=np.float32)[:, None])):
        read = resize(batch.to(translator.means.device), translator.encoder.size)
        found = translator.decode(translator.encode(read, SOURCE), SOURCE)
        largest, chosen = branch(found.maps, size).softmax(1).max(1)
        labels.append(chosen[:count].to(torch.uint8))
        edge = min(found.image.shape[-1], read.shape[-1])
        errors.append((resize(found.image, edge) - resize(read, edge)).square().mean((1, 2, 3)).sqrt()[:count])
        doubts.append((1 - largest).mean((1, 2))[:count])
    mask, error, doubt = (torch.cat(part).cpu().numpy() for part in (labels, errors, doubts))
    return mask, error, doubt
