"""How far each client moves the model in a round, and in which direction beside the others.

One client that diverges, or that sends something else than what it trained, moves the model far more than the others,
or against them. What is far off is refused before it is averaged; the rest is written down, round by round::

    updates.csv     round, client, norm, sha256; and the cosine beside every other client that took part in the round
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from fedfactory.federation.message import pack
from fedfactory.storage.tables import read_rows

UPDATES = "updates.csv"
COLUMNS = ("round", "client", "norm", "sha256")
FAR = 10
"""How many times as far as the others' median a client may move the model, if that is further than zero is away."""
_AGAINST = -0.05
_VALUES = 1 << 22

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Update:
    """What a client did to the model in a round.

    Attributes:
        norm: L2 norm of what it sent minus what it was sent; not finite if one of both is not.
        sha256: of what it sent.
        cosines: another client of the round -> cosine of the angle between both updates; nan if one did not move.
    """

    norm: float
    sha256: str
    cosines: Mapping[str, float]


def updates(models: Mapping[str, Weights], before: Weights) -> dict[str, Update]:
    """The update of each client.

    Args:
        models: client -> state dict that it sent in a round.
        before: the state dict that all of them were sent.

    Returns:
        client -> its update, in the order of the models.
    """
    products = torch.zeros(len(models), len(models), dtype=torch.float64)
    for names in _parts(before):
        moved = torch.stack([_flat(model, names) for model in models.values()]) - _flat(before, names)
        products += moved @ moved.T
    norms = products.diagonal().sqrt()
    cosines = (products / norms / norms[:, None]).tolist()
    return {
        client: Update(
            norm,
            hashlib.sha256(pack(model)).hexdigest(),
            {other: cosine for other, cosine in zip(models, row, strict=True) if other != client},
        )
        for (client, model), norm, row in zip(models.items(), norms.tolist(), cosines, strict=True)
    }


def norm_of(weights: Weights) -> float:
    """L2 norm of a state dict's floating-point values."""
    return math.sqrt(sum(float(_flat(weights, names).square().sum()) for names in _parts(weights)))


def far_off(norms: Mapping[str, float], model: float) -> str | None:
    """Which client moves the model too far, if one does.

    Clients differ: one with labels moves a model much further than one without. Too far is only what goes further than
    the model itself is from zero, and :data:`FAR` times as far as the median of the others.

    Args:
        norms: client -> norm of its update.
        model: norm of the model that they were sent.

    Returns:
        The first such client, or None.
    """
    for client, norm in norms.items():
        others = [other for name, other in norms.items() if name != client]
        if norm > model and others and norm > FAR * median(others):
            return client
    return None


def write_updates(file: Path, clients: Sequence[str], rounds: Iterable[tuple[int, Mapping[str, Update]]]) -> None:
    """Write the updates of a training: of each round the client's."""
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow((*COLUMNS, *clients))
        for number, found in rounds:
            for client, own in found.items():
                cosines = (f"{own.cosines[other]:.3f}" if other in own.cosines else "" for other in clients)
                writer.writerow((number, client, f"{own.norm:.4g}", own.sha256, *cosines))


def read_updates(file: Path) -> list[tuple[int, dict[str, Update]]]:
    """Read what :func:`write_updates` wrote."""
    rows = read_rows(file)
    clients = rows[0].keys() - COLUMNS if rows else set()
    return [
        (
            int(number),
            {
                row["client"]: Update(
                    float(row["norm"]), row["sha256"], {name: float(row[name]) for name in sorted(clients) if row[name]}
                )
                for row in group
            },
        )
        for number, group in groupby(rows, key=lambda row: row["round"])
    ]


def beside_each_other(rounds: Sequence[tuple[int, Mapping[str, Update]]]) -> list[dict[str, str]]:
    """How each client moved the model over a whole training, beside the others: rows of a table.

    Clients that train together move a model in directions that have something in common; one that sends the opposite
    has nobody beside it. One that sends a model twice, or what it was sent, did not train.

    Args:
        rounds: number, and the clients' updates.

    Returns:
        For each client: its rounds; ``size``, the median over rounds of its update's norm divided by the median of the
        others'; ``direction``, the median cosine beside the client that is nearest by it; and a remark.
    """
    sizes: dict[str, list[float]] = {}
    cosines: dict[str, dict[str, list[float]]] = {}
    sent: dict[str, list[str]] = {}
    for _, found in rounds:
        for client, own in found.items():
            others = [other.norm for name, other in found.items() if name != client]
            sent.setdefault(client, []).append(own.sha256)
            sizes.setdefault(client, []).append(own.norm / max(median(others), 1e-30) if others else math.nan)
            for other, cosine in own.cosines.items():
                cosines.setdefault(client, {}).setdefault(other, []).append(0.0 if math.isnan(cosine) else cosine)
    rows = []
    for client, models in sorted(sent.items()):
        direction = max((median(beside) for beside in cosines.get(client, {}).values()), default=math.nan)
        remarks = []
        if direction < _AGAINST:
            remarks.append("moves against the others")
        if len(set(models)) < len(models):
            remarks.append("sent a model more than once")
        if (size := median(sizes[client])) < 1 / FAR:
            remarks.append("hardly moves")
        figures = {"rounds": str(len(models)), "size": f"{size:.2f}", "direction": f"{direction:.2f}"}
        rows.append({"client": client, **figures, "remark": ", ".join(remarks) or "–"})
    return rows


def _parts(weights: Weights) -> Iterator[list[str]]:
    """Names of floating-point tensors, a few million values at a time."""
    names, count = [], 0
    for name, value in sorted(weights.items()):
        if value.is_floating_point():
            names.append(name)
            count += value.numel()
        if names and count >= _VALUES:
            yield names
            names, count = [], 0
    if names:
        yield names


def _flat(weights: Weights, names: Sequence[str]) -> Tensor:
    return torch.cat([weights[name].detach().flatten().to("cpu", torch.float64) for name in names])
