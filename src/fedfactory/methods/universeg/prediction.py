"""Prediction: M_t is the support set of the weights."""

from __future__ import annotations

from fedfactory.methods.contract import Trained
from fedfactory.methods.foundation.model import verified
from fedfactory.methods.universeg.model import open_universeg
from fedfactory.methods.universeg.segmenter import SupportSet, UniverSegSegmenter
from fedfactory.training.devices import prepare


def segmenter(trained: Trained) -> UniverSegSegmenter:
    """The segmenter of a cell, after a look at the weights themselves."""
    device = prepare(trained.device)
    weights, size, view = trained.model, trained.parameters["size"], trained.view
    (record,) = trained.others
    verified(record, weights)
    support = SupportSet.of(view.few_shot(), len(view.classes), size, device)
    return UniverSegSegmenter(open_universeg(weights, device), support, size)
