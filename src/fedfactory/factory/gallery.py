"""Which images of a factory its pictures show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from fedfactory.factory.model import Factory
from fedfactory.factory.quality import spread_positions

_SEED = 0
_STEPS = 9


def samples(factory: Factory, folder: Path, *, stages: int = 4, count: int = 4) -> list[tuple[str, list[np.ndarray]]]:
    """Samples that are the same in every row but for the client.

    Args:
        factory: the trained factory.
        folder: its folder, for the snapshots.
        stages: snapshots to show.
        count: latents, and slice positions, to show.

    Returns:
        Blocks of images, title and one array (n, S, S) for each client: one z over the training, several z at the
        middle position, one z over the positions.
    """
    bins = factory.card.parameters.network.position_bins
    middle = torch.full((count,), bins // 2)
    z = factory.latents(count, _SEED)
    files = sorted((folder / "snapshots").glob("round*.pt"))
    chosen = [files[int(i)] for i in np.linspace(0, len(files) - 1, stages).round()]
    training = []
    for client in factory.clients:
        parts = []
        for file in chosen:
            snapshot = Factory(folder, snapshot=file)
            parts.append(snapshot.show(z[:1], client, middle[:1]))
        training.append(np.concatenate(parts))
    rounds = [int(file.stem.removeprefix("round")) for file in chosen]
    several = [factory.show(z, client, middle) for client in factory.clients]
    positions = torch.tensor(spread_positions(bins, count))
    walk = [factory.show(z[:1].expand(count, -1), client, positions) for client in factory.clients]
    return [
        (f"rounds {', '.join(map(str, rounds))}", training),
        ("several z", several),
        ("one z, all slice positions", walk),
    ]


def morphing(factory: Factory, start: str) -> dict[str, np.ndarray]:
    """One z on its way from one client's look to another's, by interpolation of style vectors and fields of view.

    Returns:
        Other client -> (steps, S, S).
    """
    z, position = factory.latents(1, _SEED), torch.tensor([factory.card.parameters.network.position_bins // 2])
    strips = {}
    for client in factory.clients:
        if client != start:
            first, last = (factory.styles(z, name, position) for name in (start, client))
            frames = []
            for share in np.linspace(0, 1, _STEPS):
                zoom = (1 - share) * factory.zoom(start) + share * factory.zoom(client)
                frames.append(factory.render(torch.lerp(first, last, float(share)), zoom))
            strips[client] = np.concatenate(frames)
    return strips
