"""Foundation models on disk: a folder that the workflow made, or a published file; nothing in either is executed.

::

    card.json       name and digest of the weights, architecture, Dice on held-out procedural tasks before and after
    weights.pt      state dict, tensors only
    losses.csv, validation.csv      of the pre-training
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from fedfactory.errors import FedFactoryError
from fedfactory.methods.contract import Segmenter, Trained
from fedfactory.storage.files import new_file, parse_json
from fedfactory.storage.tensors import write_tensors
from fedfactory.storage.weights_choice import TINY
from fedfactory.training.loop import History

_NAMED = ("weights", "sha256")


def write_pretrained(
    folder: Path, network: nn.Module, history: History, dice: Mapping[str, Mapping[str, float]], **card: Any
) -> None:
    """Write a pre-trained model into an existing folder; ``card`` is JSON that belongs to it."""
    weights = {name: value.cpu() for name, value in network.state_dict().items()}
    digest = write_tensors(weights, folder / "weights.pt")
    content = {"weights": TINY, "sha256": digest, "held_out_dice": dict(dice), **card}
    (folder / "card.json").write_text(json.dumps(content, indent=1) + "\n")
    history.write(folder)


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a model that the workflow pre-trained.

    Raises:
        FedFactoryError: the folder holds none.
    """
    try:
        return parse_json((folder / "card.json").read_text())
    except (OSError, ValueError):
        raise FedFactoryError(f"{folder} holds no pre-trained model; make it with the workflow") from None


def verified(record: Path, weights: Path) -> dict[str, str]:
    """Which weights a cell uses, after a look at the file itself: name and SHA-256.

    Args:
        record: folder of a model that the workflow pre-trained, or the record of a file that
            ``fedfactory.storage.weights`` checked.
        weights: that folder, or that file.

    Raises:
        FedFactoryError: neither, or a file that was changed since.
    """
    card = _card(record)
    file = weights / "weights.pt" if weights.is_dir() else weights
    try:
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError:
        raise FedFactoryError(f"{file} is gone; remove {record} and start again") from None
    if digest != card["sha256"]:
        raise FedFactoryError(f"{file} was changed after it was checked; remove {record} and start again")
    return {name: card[name] for name in _NAMED}


def write_named(trained: Trained, segment: Segmenter, cases: Sequence[str], files: Sequence[Path]) -> None:
    """Write which weights a cell used beside its predictions: name and SHA-256 of the record that it read."""
    (file,) = files
    card = _card(trained.others[0])
    with new_file(file) as new:
        new.write_text(json.dumps({name: card[name] for name in _NAMED}, indent=1) + "\n")


def _card(record: Path) -> dict[str, Any]:
    return read_card(record) if record.is_dir() else parse_json(record.read_text())
