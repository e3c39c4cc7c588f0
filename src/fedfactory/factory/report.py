"""Quality of a factory at one client, and pictures and tables of a whole factory."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fedfactory.data.store import ClientView
from fedfactory.factory.images import fill_positions, training_images
from fedfactory.factory.model import Factory
from fedfactory.factory.quality import alignment, sliced_wasserstein, spread_positions, variety
from fedfactory.storage.tables import write_rows

COLUMNS = ("round", "closeness", "real_to_real", "shuffled", "alignment", "alignment_se", "variety")
_REPEATS = 3
_ALIGNED = 192
# Images of one slice position, and real slices nearest to it.
_VARIED, _NEAR = 48, 12


def measure(folder: Path, view: ClientView, client: str, partner: str, seed: int) -> list[dict[str, Any]]:
    """Measure every snapshot of a factory at one client, on that client's validation images.

    Args:
        folder: of the factory.
        view: the client's store; its training images give the distance that real images have from each other.
        client: the client.
        partner: the client that the alignment is measured against.
        seed: of z and patches.

    Returns:
        One row for each snapshot with the keys :data:`COLUMNS`: distance of generated images from the client's
        validation images, of its training images from them, of images generated for the next client from them (the
        same factory with shuffled conditions), alignment and its standard error, variety.

    Raises:
        FedFactoryError: the client has no validation image.
    """
    factory = Factory(folder)
    network = factory.card.parameters.network
    real, positions = training_images(view, network.image_size, split="validation")
    training, of_training = training_images(view, network.image_size)
    positions = fill_positions(positions, network.position_bins)
    middle = network.position_bins // 2
    near = training[np.argsort(np.abs(of_training - middle), kind="stable")[:_NEAR]]
    other = factory.clients[(factory.clients.index(client) + 1) % len(factory.clients)]
    floor = _floor(training, real, seed)
    rows = []
    for snapshot in sorted((folder / "snapshots").glob("round*.pt")):
        factory = Factory(folder, snapshot=snapshot)
        aligned, error = _alignment(factory, client, partner, seed)
        rows.append(
            {
                "round": int(snapshot.stem.removeprefix("round")),
                "closeness": _closeness(factory, client, real, positions, seed),
                "real_to_real": floor,
                "shuffled": _closeness(factory, other, real, positions, seed),
                "alignment": aligned,
                "alignment_se": error,
                "variety": variety(factory.images(client, [middle] * _VARIED, seed), near),
            }
        )
    return rows


def _closeness(factory: Factory, client: str, real: np.ndarray, positions: np.ndarray, seed: int) -> float:
    distances = [
        sliced_wasserstein(factory.images(client, positions.tolist(), seed + repeat), real, seed + repeat)
        for repeat in range(_REPEATS)
    ]
    return float(np.mean(distances))


def _floor(training: np.ndarray, real: np.ndarray, seed: int) -> float:
    """Distance between real images; a client with few training images repeats some."""
    stream = np.random.default_rng(seed)
    distances = []
    for repeat in range(_REPEATS):
        chosen = stream.choice(len(training), len(real), replace=len(training) < len(real))
        distances.append(sliced_wasserstein(training[chosen], real, seed + repeat))
    return float(np.mean(distances))


def _alignment(factory: Factory, client: str, partner: str, seed: int) -> tuple[float, float]:
    import torch

    positions = torch.tensor(spread_positions(factory.card.parameters.network.position_bins, _ALIGNED))
    z = factory.latents(_ALIGNED, seed)
    first = factory.reframe(factory.show(z, client, positions), client, partner)
    second, shifted = (factory.show(latent, partner, positions) for latent in (z, z.roll(1, 0)))
    return alignment(first, second, shifted)


def write_quality(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the rows of :func:`measure` as CSV."""
    write_rows(file, rows)


def read_quality(file: Path) -> list[dict[str, float]]:
    """Read what :func:`write_quality` wrote."""
    with file.open(newline="") as stream:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(stream)]


def passes(rows: Sequence[Mapping[str, float]]) -> dict[str, bool]:
    """The gates of one client: what a trained factory must be better than.

    Returns:
        ``untrained``: closer to the real images than the untrained factory. ``shuffled``: closer than the same factory
        asked for another client. ``aligned``: alignment above zero by two standard errors.
    """
    first, last = rows[0], rows[-1]
    return {
        "untrained": last["closeness"] < first["closeness"],
        "shuffled": last["closeness"] < last["shuffled"],
        "aligned": last["alignment"] > 2 * last["alignment_se"],
    }


def summary(quality: Mapping[str, Sequence[Mapping[str, float]]]) -> list[dict[str, str]]:
    """The last snapshot of each client (label -> rows) beside its baselines, with its gates: rows of a table."""
    found = []
    for label, rows in quality.items():
        first, last = rows[0], rows[-1]
        failed = [name for name, good in passes(rows).items() if not good]
        found.append(
            {
                "client": label,
                "closeness": f"{last['closeness']:.0f}",
                "real to real": f"{last['real_to_real']:.0f}",
                "untrained": f"{first['closeness']:.0f}",
                "other client's condition": f"{last['shuffled']:.0f}",
                "alignment ± s.e.": f"{last['alignment']:.4f} ± {last['alignment_se']:.4f}",
                "variety": f"{last['variety']:.2f}",
                "gates": "failed: " + ", ".join(failed) if failed else "all passed",
            }
        )
    return found
