"""Fine-tuning of SAM's mask decoder on M_t, and segmentation with it: one decoder, and one pass, for each class."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fedfactory.data.deformation import deformed
from fedfactory.data.store import Volume
from fedfactory.evaluation.dice import mean_validation_dice
from fedfactory.methods.foundation.pretraining import Episodes
from fedfactory.methods.sam.network import Sam, as_read, box_embeddings, boxes_of, decode, prompt_embeddings
from fedfactory.methods.sam.parameters import ORACLE, Prompt, TuningParameters
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.checkpoints import Checkpoints
from fedfactory.training.batches import batches
from fedfactory.training.loop import History, Learner, Losses, Training, adam
from fedfactory.training.losses import segmentation_loss
from fedfactory.training.seeds import derive_seed

DECODERS = "decoders"
"""Name of the networks that are tuned, among a training's."""

# Boxes of the pre-training: the whole image, as at test time, or around the target within this share of the edge.
_JITTER = 0.05
# Share of the steps with the former. Which part is meant then has to be guessed: many of them, and nothing is learnt.
_BLIND = 0.1
# A class that the truth does not hold gets no box in the oracle, and no mask.
_ABSENT = -1e4


@dataclass(frozen=True)
class SamSegmenter:
    """Segment slices, each alone, so that a mask does not depend on its neighbours.

    Attributes:
        sam: the network; its image encoder and prompt encoder are used.
        decoders: one for each class.
        prompt: the same in training and at test time.
    """

    sam: Sam
    decoders: nn.ModuleList
    prompt: Prompt

    def validation_dice(self, volumes: Sequence[Volume]) -> float | None:
        """Mean Dice over labelled volumes; None if none shows a class. An oracle gets its boxes from their labels."""
        oracle = self.prompt == ORACLE
        masks = (self.by_oracle(v.images, v.labels) if oracle else self(v.images) for v in volumes)
        pairs = zip(masks, (v.labels for v in volumes), strict=True)
        return mean_validation_dice(pairs, len(self.decoders))

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Segment slices (n, S, S) float32 in [-1, 1] as labels (n, S, S) uint8."""
        return self._segment(images, None)

    def by_oracle(self, images: np.ndarray, truth: np.ndarray) -> np.ndarray:
        """The same with boxes around the classes of the truth, (n, S, S) uint8; for the prompt ``oracle_box``."""
        return self._segment(images, truth)

    def logits(self, embeddings: Tensor, size: int, truth: Tensor | None = None) -> Tensor:
        """Logits (n, classes + 1, size, size); the background's are zero.

        Args:
            embeddings: of images.
            size: edge of the result.
            truth: labels (n, S, S), for the prompt ``oracle_box`` and no other.
        """
        if (truth is not None) != (self.prompt == ORACLE):
            raise ValueError(f"the truth belongs to the prompt '{ORACLE}', and this one is '{self.prompt}'")
        each = []
        for label, decoder in enumerate(self.decoders, start=1):
            if truth is None:
                each.append(decode(self.sam, decoder, embeddings, prompt_embeddings(self.sam, self.prompt), size))
                continue
            boxes = boxes_of(truth == label, self.sam.image_encoder.img_size)
            found = decode(self.sam, decoder, embeddings, box_embeddings(self.sam, boxes), size)
            absent = ~(truth == label).flatten(1).any(1)
            each.append(found.masked_fill(absent[:, None, None, None], _ABSENT))
        return torch.cat([torch.zeros_like(each[0]), *each], 1)

    @torch.no_grad()
    def _segment(self, images: np.ndarray, truth: np.ndarray | None) -> np.ndarray:
        self.decoders.eval()
        found, parts = [], None if truth is None else batches(_as_batch(truth, np.uint8))
        for batch, count in batches(_as_batch(images, np.float32)):
            embeddings = self.sam.image_encoder(as_read(batch[:, 0], self.sam))
            known = None if parts is None else next(parts)[0][:, 0].to(embeddings.device)
            labels = self.logits(embeddings, images.shape[-1], known).argmax(1).to(torch.uint8)
            found.append(labels[:count].cpu().numpy())
        return np.concatenate(found)


def tune(
    sam: Sam,
    m_t: Volume,
    prompt: Prompt,
    p: TuningParameters,
    classes: int,
    seed: int,
    checkpoints: Checkpoints,
    progress: Progress,
) -> tuple[nn.ModuleList, History]:
    """Fine-tune a mask decoder for each class.

    The image encoder is frozen, so that every copy of M_t is encoded once.

    Args:
        sam: the network; stays as it is.
        m_t: the target's labelled slices.
        prompt: as at test time.
        p: parameters.
        classes: foreground classes.
        seed: of copies and batches.
        checkpoints: where the training can go on from.
        progress: updated every step.

    Returns:
        The decoders, in their last state, and the history with those on the way.
    """
    sam.requires_grad_(False).eval()
    images, labels = deformed(m_t.images, p.copies, derive_seed("copies", seed), m_t.labels)
    known, wanted = _encoded(sam, images), torch.from_numpy(labels).to(sam.device)
    decoders = nn.ModuleList(copy.deepcopy(sam.mask_decoder) for _ in range(classes)).requires_grad_(True)
    segment, size = SamSegmenter(sam, decoders, prompt), images.shape[-1]

    def losses(step: int, stream: torch.Generator) -> Losses:
        chosen = torch.randint(len(known), (p.batch,), generator=stream)
        logits = segment.logits(known[chosen], size, wanted[chosen] if prompt == ORACLE else None)
        return {"segmentation": segmentation_loss(logits, wanted[chosen], 1.0, 1.0)}

    learner = Learner(decoders, adam(decoders.parameters(), p.learning_rate), p.learning_rate)
    training = Training({DECODERS: learner}, p.schedule, seed, losses, None, keep=True)
    return decoders, training.run(checkpoints, progress)


def segment_tasks(
    sam: Sam, tasks: Episodes, stream: torch.Generator | None, prompt: Prompt = ORACLE
) -> tuple[Tensor, Tensor]:
    """Segment all samples of procedural tasks.

    Args:
        sam: the network.
        tasks: the tasks.
        stream: of a training step, whose prompts are full-image boxes or boxes around the targets, by a draw.
        prompt: without a stream: boxes around the targets, as SAM is used, or a prompt that does not say which part of
            an image is meant.
    """
    images, masks = tasks.images.flatten(0, 1)[:, 0] * 2 - 1, tasks.masks.flatten(0, 1)
    embeddings = sam.image_encoder(as_read(images, sam))
    if stream is not None:
        prompt = "full_box" if torch.rand((), generator=stream) < _BLIND else ORACLE
    if prompt == ORACLE:
        embedded = box_embeddings(sam, boxes_of(masks[:, 0] > 0.5, sam.image_encoder.img_size, _JITTER, stream))
    else:
        embedded = prompt_embeddings(sam, prompt)
    return decode(sam, sam.mask_decoder, embeddings, embedded, images.shape[-1]), masks


@torch.no_grad()
def _encoded(sam: Sam, images: np.ndarray) -> Tensor:
    """Embeddings of slices (n, S, S), the same wherever a slice stands in the stack."""
    parts = [
        sam.image_encoder(as_read(batch[:, 0], sam))[:count] for batch, count in batches(_as_batch(images, np.float32))
    ]
    return torch.cat(parts)


def _as_batch(slices: np.ndarray, kind: type) -> Tensor:
    return torch.from_numpy(np.array(slices, dtype=kind)[:, None])
