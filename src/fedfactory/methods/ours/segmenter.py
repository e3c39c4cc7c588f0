"""Inference: slices to labels by the branches of source and target (paper, section 3.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedfactory.data.store import Volume
from fedfactory.evaluation.dice import mean_foreground_dice, mean_validation_dice
from fedfactory.methods.ours.branch import SegmentationBranch
from fedfactory.methods.ours.encoder import BRANCHES, SOURCE, TARGET
from fedfactory.methods.ours.field_of_view import FieldOfView
from fedfactory.methods.ours.samples import AVERAGED, moved_back, moved_by
from fedfactory.methods.ours.translator import Translator
from fedfactory.training.batches import batches, resize


@dataclass(frozen=True)
class BranchSegmenter:
    """Segment slices of one domain; every slice alone, so that its mask does not depend on its neighbours.

    Attributes:
        translator: encoder and factory.
        branches: label of a domain -> the branch that reads the image rendered with that label; their probabilities
            are averaged.
        domain: of the images.
        frame: from the images' field of view to the source's.
        symmetries: of the anatomy; probabilities are means over its mirror images or quarter turns.
    """

    translator: Translator
    branches: dict[int, SegmentationBranch]
    domain: int
    frame: FieldOfView
    symmetries: str = "none"

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Mean probabilities of the branches, (n, classes + 1, S, S) float32, in the images' own field of view."""
        return mean_of(self.by_branch(images), tuple(self.branches))

    def by_branch(self, images: np.ndarray) -> dict[int, np.ndarray]:
        """Each branch's probabilities, (n, classes + 1, S, S) float32, in the images' own field of view."""
        parts = list(self._parts(images))
        return {label: np.concatenate([part[label] for part in parts]) for label in self.branches}

    def validation_dice(
        self, volumes: Sequence[Volume], ways: Mapping[str, Sequence[int]], classes: int
    ) -> dict[str, float]:
        """Mean over labelled volumes, whose slices share batches, of the mean foreground Dice.

        Args:
            volumes: images and labels.
            ways: names of ways to read the branches -> labels of those whose mean probabilities count.
            classes: foreground classes.

        Returns:
            Of each way; nothing if no volume shows any class.
        """
        masks: dict[str, list[np.ndarray]] = {way: [] for way in ways}
        for part in self._parts(np.concatenate([volume.images for volume in volumes])):
            for way, labels in ways.items():
                masks[way].append(mean_of(part, labels).argmax(1).astype(np.uint8))
        ends = np.cumsum([len(volume.images) for volume in volumes])[:-1]
        dice = {}
        for way, found in masks.items():
            pairs = zip(np.split(np.concatenate(found), ends), (volume.labels for volume in volumes), strict=True)
            dice[way] = mean_validation_dice(pairs, classes)
        return {way: value for way, value in dice.items() if value is not None}

    def slices_dice(self, images: np.ndarray, labels: np.ndarray, classes: int) -> dict[str, float]:
        """Mean foreground Dice over labelled slices (n, S, S), for each way to read the branches."""
        found = self.by_branch(images)
        return {
            way: mean_foreground_dice(mean_of(found, domains).argmax(1), labels, classes)
            for way, domains in BRANCHES.items()
        }

    @torch.no_grad()
    def _parts(self, images: np.ndarray) -> Iterator[dict[int, np.ndarray]]:
        """Each branch's probabilities of a batch of slices after the other."""
        self._evaluate()
        # Copied: a store's arrays are memory-mapped and read-only.
        for batch, count in batches(torch.from_numpy(np.array(images, dtype=np.float32)[:, None])):
            found = {label: batch.new_zeros(()) for label in self.branches}
            moves = AVERAGED[self.symmetries]
            for move in moves:
                moved = self._moved_parts(moved_by(move, batch))
                found = {label: found[label] + moved_back(move, moved[label]) / len(moves) for label in found}
            yield {label: probabilities[:count].numpy() for label, probabilities in found.items()}

    def _moved_parts(self, batch: Tensor) -> dict[int, Tensor]:
        """Each branch's probabilities of slices (n, 1, S, S) as they lie: (n, classes + 1, S, S), on the CPU."""
        size = batch.shape[-1]
        encoding = self.translator.encode(self._read(batch), self.domain)
        return {
            label: self.frame.back(branch(self.translator.decode(encoding, label).maps, size).softmax(1)).cpu()
            for label, branch in self.branches.items()
        }

    @torch.no_grad()
    def render(self, images: np.ndarray) -> dict[int, Tensor]:
        """Reconstruction and translation of a few slices, by label: (n, 1, s, s), in the source's field of view."""
        self._evaluate()
        encoding = self.translator.encode(self._read(torch.from_numpy(np.array(images)[:, None])), self.domain)
        return {label: self.translator.decode(encoding, label).image for label in (SOURCE, TARGET)}

    @torch.no_grad()
    def render_back(self, translated: Tensor) -> Tensor:
        """The way back of translated slices: (n, 1, s, s)."""
        self._evaluate()
        encoding = self.translator.encode(resize(translated, self.translator.encoder.size), SOURCE)
        return self.translator.decode(encoding, self.domain).image

    def framed(self, images: np.ndarray) -> np.ndarray:
        """Slices (n, S, S) in the source's field of view."""
        return self.frame.images(torch.from_numpy(np.array(images)[:, None]), images.shape[-1])[:, 0].numpy()

    def _read(self, images: Tensor) -> Tensor:
        return self.frame.images(images.to(self.translator.means.device), self.translator.encoder.size)

    def _evaluate(self) -> None:
        for network in (self.translator.encoder, *self.branches.values()):
            network.eval()


@dataclass(frozen=True)
class Compared:
    """A segmenter by some branches that notes how far the masks of both branches agree.

    Attributes:
        segment: by both branches.
        read: labels of the domains whose branches' mean is the result.
        agreement: mean foreground Dice between both branches' masks, for every case so far; nan where both are empty.
    """

    segment: BranchSegmenter
    read: tuple[int, ...]
    agreement: list[float] = field(default_factory=list)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Segment slices (n, S, S) float32 in [-1, 1] of one case as labels (n, S, S) uint8."""
        found = self.segment.by_branch(images)
        first, second = (probabilities.argmax(1) for probabilities in found.values())
        self.agreement.append(mean_foreground_dice(first, second, n_classes=found[TARGET].shape[1] - 1))
        return mean_of(found, self.read).argmax(1).astype(np.uint8)


def mean_of(probabilities: Mapping[int, np.ndarray], labels: Sequence[int]) -> np.ndarray:
    """Mean of the probabilities of some branches, (n, classes + 1, S, S) float32."""
    mean: Any = sum(probabilities[label] for label in labels) / len(labels)
    return mean
