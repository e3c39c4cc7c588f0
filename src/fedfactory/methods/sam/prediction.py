"""Prediction: the fine-tuned decoders, one pass for each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fedfactory.data.store import Volume
from fedfactory.evaluation.choice import State
from fedfactory.methods.contract import Segmenter, Trained
from fedfactory.methods.foundation.model import verified
from fedfactory.methods.sam.model import read_segmenter
from fedfactory.methods.sam.oracle import with_truth
from fedfactory.storage.state_dicts import kept_steps
from fedfactory.training.devices import prepare

_WAY = "mask"


def segmenter(trained: Trained) -> Segmenter:
    """The segmenter of a cell, after a look at the weights themselves; an oracle also reads the truth."""
    device, (weights, truth) = prepare(trained.device), _weights(trained)
    step = trained.choice.state.step if trained.choice else None
    segment = read_segmenter(trained.model, weights, device, step)
    return with_truth(segment, trained.view, truth[0]) if truth else segment


def choose(trained: Trained, volumes: Sequence[Volume]) -> dict[State, float]:
    """Validation Dice of every state of the tuning; nothing if no volume shows a class."""
    device, (weights, _) = prepare(trained.device), _weights(trained)
    found = {
        State(step, _WAY): read_segmenter(trained.model, weights, device, step).validation_dice(volumes)
        for step in kept_steps(trained.model)
    }
    return {state: dice for state, dice in found.items() if dice is not None}


def _weights(trained: Trained) -> tuple[Path, list[Path]]:
    """The network's weights, checked, and the truth for an oracle."""
    record, weights, *truth = trained.others
    verified(record, weights)
    return weights, truth
