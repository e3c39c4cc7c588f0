"""Prediction by the adapted branches, how far both agree, and pictures of what the adaptation does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fedfactory.data.store import Volume
from fedfactory.evaluation.choice import State
from fedfactory.evaluation.figures import save
from fedfactory.methods.contract import Trained
from fedfactory.methods.ours.encoder import BRANCHES
from fedfactory.methods.ours.model import Stored, read_networks
from fedfactory.methods.ours.pictures import draw_adaptation, draw_curves, read_losses
from fedfactory.methods.ours.segmenter import Compared
from fedfactory.storage.files import new_file
from fedfactory.storage.state_dicts import kept_steps
from fedfactory.training.devices import prepare


def segmenter(trained: Trained) -> Compared:
    """The segmenter of a cell; the factory stands behind the model."""
    stored, read = _read(trained)
    return Compared(stored.segmenter(), read)


def choose(trained: Trained, volumes: Sequence[Volume]) -> dict[State, float]:
    """Validation Dice of every state of the adaptation and every way to read it; nothing if no volume shows a class."""
    stored, _ = _read(trained)
    segment, ways = stored.segmenter(), {name: BRANCHES[name] for name in stored.card["ways"]}
    found = {}
    for step in kept_steps(trained.model):
        stored.go_to(trained.model, step)
        dice = segment.validation_dice(volumes, ways, len(trained.view.classes))
        found.update({State(step, way): value for way, value in dice.items()})
    return found


def describe(trained: Trained, segment: Compared, cases: Sequence[str], files: Sequence[Path]) -> None:
    """Draw slices on their way through the networks and the curves of the training, and write each case's agreement.

    Args:
        trained: the cell.
        segment: after all cases.
        cases: their names.
        files: both pictures, and the table.
    """
    (stored, read), view = _read(trained), trained.view
    picture, curves, agreement = files
    with new_file(agreement) as path:
        rows = [f"{case},{dice:.6f}\n" for case, dice in zip(cases, segment.agreement, strict=True)]
        path.write_text("".join(["case,dice\n", *rows]))
    # Slices of M_t that were not used are not shown either.
    slices = view.few_shot() if view.labels.of_m_t else next(view.unlabelled_images())
    with new_file(picture) as path:
        save(draw_adaptation(stored, read, slices, trained.orientation), path, ".png")
    with new_file(curves) as path:
        losses = read_losses(trained.model)
        save(draw_curves(losses, trained.choice, stored.card["perceptual"]["name"]), path, ".png")


def _read(trained: Trained) -> tuple[Stored, tuple[int, ...]]:
    """The networks in the state that validation volumes chose, or in their last one, and the branches that are read."""
    (factory,) = trained.others
    stored = read_networks(trained.model, factory, prepare(trained.device), "adapt")
    if trained.choice is None:
        return stored, tuple(stored.card["read_at_inference"])
    stored.go_to(trained.model, trained.choice.state.step)
    return stored, BRANCHES[trained.choice.state.way]
