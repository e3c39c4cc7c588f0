"""What a factory gives away of a client, measured at that client: its own slices beside what the factory draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedfactory.data.store import ClientView
from fedfactory.errors import FedFactoryError
from fedfactory.factory.images import fill_positions, subjects_of, training_images
from fedfactory.factory.membership import area_and_interval
from fedfactory.factory.memorisation import LEVEL, Memorisation, Space, memorisation, pixels
from fedfactory.factory.model import DISCRIMINATOR, Factory
from fedfactory.factory.parameters import FactoryParameters

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
    data = ClientData.read(view, factory.card.parameters)
    drawn = np.random.default_rng(seed).choice(data.positions, DRAWN)
    given = repeats(factory.images(client, drawn.tolist(), seed), data, client, encoder, seed)
    if not (folder / DISCRIMINATOR).is_file():
        return given
    members = judged(factory, client, data.own[0], data.own_positions)
    others = judged(factory, client, data.others[0], data.other_positions)
    attack = attack_row(client, "discriminator", members, others, data.subjects, seed)
    return replace(given, rows=[*given.rows, attack])


@dataclass(frozen=True)
class ClientData:
    """A client's slices, those that trained and those that were held out.

    Attributes:
        own, others: (copies, n, S, S) float32: slices as they are, and deformed as in training.
        own_positions, other_positions: slice-position bins of the slices (n,).
        positions: all of training, without gaps.
        subjects: of the slices: those that trained, those held out.
        flip: whether training mirrored images.
    """

    own: np.ndarray
    others: np.ndarray
    own_positions: np.ndarray
    other_positions: np.ndarray
    positions: np.ndarray
    subjects: tuple[list[str], list[str]]
    flip: bool

    @classmethod
    def read(cls, view: ClientView, parameters: FactoryParameters) -> ClientData:
        """Read a store.

        Raises:
            FedFactoryError: no training or no validation slice, or a subject in both splits.
        """
        network, training = parameters.network, parameters.training
        real, positions = training_images(view, network.image_size, copies=training.copies)
        kept, of_kept = training_images(view, network.image_size, split="validation", copies=training.copies)
        subjects = subjects_of(view, "train"), subjects_of(view, "validation")
        if shared := set(subjects[0]) & set(subjects[1]):
            raise FedFactoryError(
                f"{view.folder}: the subject {min(shared)} trains and is held out; make the store again"
            )
        own, others = (part.reshape(training.copies, -1, *part.shape[1:]) for part in (real, kept))
        filled = fill_positions(positions, network.position_bins)
        return cls(own, others, positions[: own.shape[1]], of_kept[: others.shape[1]], filled, subjects, training.flip)


def repeats(found: np.ndarray, data: ClientData, client: str, encoder: Encoder, seed: int) -> Given:
    """Whether images (n, S, S) repeat a client's training slices, in pixels and in the space of an encoder."""
    spaces = {"pixels": pixels, "features": features(encoder)}
    measured = {
        name: memorisation(found, data.own, data.others, data.subjects, space, flip=data.flip, seed=seed)
        for name, space in spaces.items()
    }
    rows = [
        {"client": client, "space": name, **_figures(one), **_attack(-one.members, -one.others, data.subjects, seed)}
        for name, one in measured.items()
    ]
    alike = measured["pixels"]
    first = np.argsort(alike.distances, kind="stable")[:SHOWN]
    return Given(rows, (found[first], data.own[0][alike.nearest[first]]))


def judged(factory: Factory, client: str, images: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Logits (n,) of the federation's last discriminator for a client's images (n, S, S), each judged alone."""
    import torch

    network, found = factory.discriminator(), []
    key = torch.tensor(factory.card.keys[client], dtype=torch.float32)
    use_key = factory.card.parameters.network.weighting != "label"
    slices = torch.from_numpy(images)[:, None]
    for part, where in zip(slices.split(_BATCH), torch.from_numpy(positions).split(_BATCH), strict=True):
        index, keys = torch.full((len(part),), factory.clients.index(client)), key.expand(len(part), -1)
        with torch.no_grad():
            found.append(network(part, index, where, keys, use_key=use_key, parts=len(part)).numpy())
    return np.concatenate(found)


def attack_row(
    client: str,
    what: str,
    members: np.ndarray,
    others: np.ndarray,
    subjects: tuple[Sequence[str], Sequence[str]],
    seed: int,
) -> dict[str, Any]:
    """A row of an attack by a score of each slice, high for a training slice; there is nothing that repeats one."""
    unknown = dict.fromkeys(("to_training", "to_held_out", "p", "least_p", "copies", "drawn", "passes"), "")
    return {"client": client, "space": what, **unknown, **_attack(members, others, subjects, seed)}


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
    if not row["passes"]:
        return ""
    if row["passes"] != "1":
        return "failed"
    few = float(row["least_p"]) > LEVEL
    return f"no copy; too few subjects for the test (p cannot be below {row['least_p']})" if few else "passed"


def _attack(
    members: np.ndarray, others: np.ndarray, subjects: tuple[Sequence[str], Sequence[str]], seed: int
) -> dict[str, float]:
    area, low, high = area_and_interval(members, others, subjects, seed)
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
            "copies": f"{row['copies']} of {row['drawn']}" if row["drawn"] else "",
            "membership, AUC": f"{float(row['auc']):.2f} ({float(row['auc_low']):.2f} to {float(row['auc_high']):.2f})",
            "gate": _gate(row),
        }
        for row in rows
    ]
