"""Prediction: a target's volumes in the source's look, segmented by the source's nnU-Net; and a picture of that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fedfactory.evaluation.figures import save
from fedfactory.methods.contract import Trained
from fedfactory.methods.fedmedgan.pictures import draw_translation
from fedfactory.methods.fedmedgan.training import TranslatingSegmenter, read_generator
from fedfactory.methods.nnunet.inference import load_segmenter
from fedfactory.storage.files import new_file
from fedfactory.training.devices import prepare


def segmenter(trained: Trained) -> TranslatingSegmenter:
    """The segmenter of a cell; the source's nnU-Net stands behind the model."""
    device = prepare(trained.device)
    (source,) = trained.others
    segment = load_segmenter(source, device, trained.parameters["mirroring"])
    return TranslatingSegmenter(read_generator(trained.model, device), segment, device)


def draw(trained: Trained, segment: TranslatingSegmenter, cases: Sequence[str], files: Sequence[Path]) -> None:
    """Draw slices of one training volume and their translations into the one file."""
    (picture,) = files
    volume = next(trained.view.unlabelled_images())
    with new_file(picture) as path:
        save(draw_translation(segment, volume.images, trained.orientation), path, ".png")
