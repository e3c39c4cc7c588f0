"""What a factory gives away of a client, measured at that client: its own slices beside what the factory draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedfactory.data.store import ClientView
from fedfactory.errors import FedFactoryError
from fedfactory.factory.images import fill_positions, subjects_of, training_images
from fedfactory.factory.membership import area_and_interval
from fedfactory.factory.memorisation import LEVEL, Memorisation, Space, memorisation, pixels
from fedfactory.factory.model import Factory

if TYPE_CHECKING:
    from fedfactory.factory.encoder_networks import Encoder

DRAWN = 256
"""Slices that are drawn for the comparison."""
SHOWN = 8
_BATCH = 64


@dataclass(frozen=True)
class Given:
    """What was found at one client.

    Attributes:
        rows: a row of the table for each space.
        closest: the pairs of a drawn slice and a training slice that are nearest to each other in pixels, nearest
            first: two arrays (n, S, S).
    """

    rows: Sequence[Mapping[str, Any]]
    closest: tuple[np.ndarray, np.ndarray]


def features(encoder: Encoder) -> Space:
    """The space of a key's encoder."""
    import torch

    def space(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            parts = [encoder(batch).double().cpu().numpy() for batch in torch.from_numpy(images)[:, None].split(_BATCH)]
        return np.concatenate(parts)

    return space


def measure(folder: Path, view: ClientView, client: str, encoder: Encoder, seed: int) -> Given:
    """Compare what a factory draws for a client with that client's own slices.

    Args:
        folder: of the factory.
        view: the client's store; its validation subjects were held out.
        client: its name.
        encoder: of the keys.
        seed: of what is drawn.

    Raises:
        FedFactoryError: the client has no training or no validation slice.
    """
    factory = Factory(folder)
    network, training = factory.card.parameters.network, factory.card.parameters.training
    real, positions = training_images(view, network.image_size, copies=training.copies)
    kept, _ = training_images(view, network.image_size, split="validation", copies=training.copies)
    positions = fill_positions(positions, network.position_bins)
    drawn = np.random.default_rng(seed).choice(positions, DRAWN)
    found = factory.images(client, drawn.tolist(), seed)
    own, others = (part.reshape(training.copies, -1, *part.shape[1:]) for part in (real, kept))
    subjects = subjects_of(view, "train"), subjects_of(view, "validation")
    shared = set(subjects[0]) & set(subjects[1])
    if shared:
        raise FedFactoryError(f"{view.folder}: the subject {min(shared)} trains and is held out; make the store again")
    spaces = {"pixels": pixels, "features": features(encoder)}
    measured = {
        name: memorisation(found, own, others, subjects, space, flip=training.flip, seed=seed)
        for name, space in spaces.items()
    }
    rows = [
        {"client": client, "space": name, **_figures(one), **_attack(one, subjects, seed)}
        for name, one in measured.items()
    ]
    alike = measured["pixels"]
    first = np.argsort(alike.distances, kind="stable")[:SHOWN]
    return Given(rows, (found[first], own[0][alike.nearest[first]]))


def _figures(one: Memorisation) -> dict[str, Any]:
    return {
        "to_training": round(one.training, 4),
        "to_held_out": round(one.held_out, 4),
        "p": round(one.p, 4),
        "least_p": round(one.least_p, 4),
        "copies": one.copies,
        "drawn": one.count,
        "passes": int(one.passes),
    }


def _gate(row: Mapping[str, str]) -> str:
    if row["passes"] != "1":
        return "failed"
    few = float(row["least_p"]) > LEVEL
    return f"no copy; too few subjects for the test (p cannot be below {row['least_p']})" if few else "passed"


def _attack(one: Memorisation, subjects: tuple[Sequence[str], Sequence[str]], seed: int) -> dict[str, float]:
    area, low, high = area_and_interval(-one.members, -one.others, subjects, seed)
    return {"auc": round(area, 4), "auc_low": round(low, 4), "auc_high": round(high, 4)}


def in_words(rows: Sequence[Mapping[str, str]], labels: Mapping[str, str]) -> list[dict[str, str]]:
    """The tables of all clients of a factory, as one for people: name of a client -> its label."""
    return [
        {
            "client": labels[row["client"]],
            "space": row["space"],
            "distance to training subjects": row["to_training"],
            "to held-out subjects": row["to_held_out"],
            "p": row["p"],
            "copies": f"{row['copies']} of {row['drawn']}",
            "membership, AUC": f"{float(row['auc']):.2f} ({float(row['auc_low']):.2f} to {float(row['auc_high']):.2f})",
            "gate": _gate(row),
        }
        for row in rows
    ]
