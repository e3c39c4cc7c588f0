"""Fine-tuning of SAM's mask decoder on M_t, and segmentation with it: one decoder, and one pass, for each class."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from segment_anything.modeling import Sam
from torch import Tensor, nn

from fedfactory.baselines.foundation.pretraining import Episodes
from fedfactory.baselines.sam.network import as_read, box_embeddings, boxes_of, decode, prompt_embeddings
from fedfactory.baselines.sam.parameters import Prompt, TuningParameters
from fedfactory.checkpoints import Checkpoints
from fedfactory.data.store import Volume
from fedfactory.evaluation.dice import mean_validation_dice
from fedfactory.images import batches
from fedfactory.losses import segmentation_loss
from fedfactory.progress import Progress
from fedfactory.seeds import derive_seed
from fedfactory.training import History, Learner, Losses, Plain, Training
from fedfactory.variation import deformed

# Boxes of the pre-training: the whole image, as at test time, or around the target within this share of the edge.
_JITTER = 0.05


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

    @torch.no_grad()
    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Segment slices (n, S, S) float32 in [-1, 1] as labels (n, S, S) uint8."""
        self.decoders.eval()
        found = []
        for batch, count in batches(torch.from_numpy(np.array(images, dtype=np.float32)[:, None])):
            embeddings = self.sam.image_encoder(as_read(batch[:, 0], self.sam))
            found.append(self.labels(embeddings, images.shape[-1])[:count])
        return np.concatenate(found)

    def labels(self, embeddings: Tensor, size: int) -> np.ndarray:
        """Labels (n, size, size) uint8 of images by their embeddings."""
        return self.logits(embeddings, size).argmax(1).to(torch.uint8).cpu().numpy()

    def logits(self, embeddings: Tensor, size: int) -> Tensor:
        """Logits (n, classes + 1, size, size); the background's are zero."""
        prompt = prompt_embeddings(self.sam, self.prompt)
        each = [decode(self.sam, decoder, embeddings, prompt, size) for decoder in self.decoders]
        return torch.cat([torch.zeros_like(each[0]), *each], 1)


def tune(
    sam: Sam,
    m_t: Volume,
    validation: Sequence[Volume],
    prompt: Prompt,
    p: TuningParameters,
    classes: int,
    seed: int,
    checkpoints: Checkpoints,
    progress: Progress,
) -> tuple[nn.ModuleList, History]:
    """Fine-tune a mask decoder for each class.

    The image encoder is frozen, so that every image is encoded once.

    Args:
        sam: the network; stays as it is.
        m_t: the target's labelled slices.
        validation: its labelled validation volumes; empty where none may be read.
        prompt: as at test time.
        p: parameters.
        classes: foreground classes.
        seed: of copies and batches.
        checkpoints: where the training can go on from.
        progress: updated every step.

    Returns:
        The decoders, in the state with the best validation Dice or the last one, and the history.
    """
    sam.requires_grad_(False).eval()
    images, labels = deformed(m_t.images, p.copies, derive_seed("copies", seed), m_t.labels)
    known, wanted = _encoded(sam, images), torch.from_numpy(labels).to(sam.device)
    volumes = [(_encoded(sam, volume.images), volume.labels) for volume in validation]
    decoders = nn.ModuleList(copy.deepcopy(sam.mask_decoder) for _ in range(classes)).requires_grad_(True)
    segment, size = SamSegmenter(sam, decoders, prompt), images.shape[-1]

    def losses(step: int, stream: torch.Generator) -> Losses:
        chosen = torch.randint(len(known), (p.batch,), generator=stream)
        logits = segment.logits(known[chosen], size)
        return {"segmentation": segmentation_loss(logits, wanted[chosen], 1.0, 1.0)}

    @torch.no_grad()
    def validate() -> dict[str, float]:
        decoders.eval()
        found = mean_validation_dice(lambda embeddings: segment.labels(embeddings, size), volumes, classes)
        return {} if found is None else {"mask": found}

    adam = Plain(torch.optim.Adam(decoders.parameters(), lr=p.learning_rate))
    training = Training(
        {"decoders": Learner(decoders, adam, p.learning_rate)}, p.schedule, seed, losses, validate if volumes else None
    )
    return decoders, training.run(checkpoints, progress)


def segment_tasks(sam: Sam, tasks: Episodes, stream: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Segment all samples of procedural tasks.

    Prompts of a training step are full-image boxes or boxes around the targets, by a draw; without a stream they are
    boxes around the targets.
    """
    images, masks = tasks.images.flatten(0, 1)[:, 0] * 2 - 1, tasks.masks.flatten(0, 1)
    embeddings = sam.image_encoder(as_read(images, sam))
    if stream is not None and torch.rand((), generator=stream) < 0.5:
        prompt = prompt_embeddings(sam, "full_box")
    else:
        boxes = boxes_of(masks[:, 0] > 0.5, sam.image_encoder.img_size, _JITTER, stream)
        prompt = box_embeddings(sam, boxes)
    return decode(sam, sam.mask_decoder, embeddings, prompt, images.shape[-1]), masks


@torch.no_grad()
def _encoded(sam: Sam, images: np.ndarray) -> Tensor:
    """Embeddings of slices (n, S, S), each the same as in any other batch."""
    parts = [
        sam.image_encoder(as_read(batch[:, 0], sam))[:count]
        for batch, count in batches(torch.from_numpy(np.array(images, dtype=np.float32)[:, None]))
    ]
    return torch.cat(parts)
