"""Prediction by the adapted branches, how far both agree, and pictures of what the adaptation does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fedfactory.evaluation.figures import save
from fedfactory.methods.contract import Trained
from fedfactory.methods.ours.encoder import SOURCE, TARGET
from fedfactory.methods.ours.model import Stored, read_networks
from fedfactory.methods.ours.pictures import draw_adaptation, draw_curves, read_curves
from fedfactory.methods.ours.segmenter import Compared
from fedfactory.storage.files import new_file
from fedfactory.training.devices import prepare


def segmenter(trained: Trained) -> Compared:
    """The segmenter of a cell; the factory stands behind the model."""
    stored = _read(trained)
    return Compared(stored.segmenter((SOURCE, TARGET)), tuple(stored.card["read_at_inference"]))


def describe(trained: Trained, segment: Compared, cases: Sequence[str], files: Sequence[Path]) -> None:
    """Draw slices on their way through the networks and the curves of the training, and write each case's agreement.

    Args:
        trained: the cell.
        segment: after all cases.
        cases: their names.
        files: both pictures, and the table.
    """
    stored, view = _read(trained), trained.view
    picture, curves, agreement = files
    with new_file(agreement) as path:
        rows = [f"{case},{dice:.6f}\n" for case, dice in zip(cases, segment.agreement, strict=True)]
        path.write_text("".join(["case,dice\n", *rows]))
    # Slices of M_t that were not used are not shown either.
    slices = view.few_shot() if view.labels.of_m_t else next(view.unlabelled_images())
    with new_file(picture) as path:
        save(draw_adaptation(stored, slices, trained.orientation), path, ".png")
    with new_file(curves) as path:
        save(draw_curves(*read_curves(trained.model), stored.card["perceptual"]["name"]), path, ".png")


def _read(trained: Trained) -> Stored:
    (factory,) = trained.others
    return read_networks(trained.model, factory, prepare(trained.device), "adapt")
