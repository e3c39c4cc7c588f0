"""Prediction: the fine-tuned decoders, one pass for each class."""

from __future__ import annotations

from fedfactory.methods.contract import Segmenter, Trained
from fedfactory.methods.foundation.model import verified
from fedfactory.methods.sam.model import read_segmenter
from fedfactory.methods.sam.oracle import with_truth
from fedfactory.training.devices import prepare


def segmenter(trained: Trained) -> Segmenter:
    """The segmenter of a cell, after a look at the weights themselves; an oracle also reads the truth."""
    device = prepare(trained.device)
    record, weights, *truth = trained.others
    verified(record, weights)
    segment = read_segmenter(trained.model, weights, device)
    return with_truth(segment, trained.view, truth[0]) if truth else segment
