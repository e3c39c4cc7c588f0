"""The images of a client that the factory is about."""

from collections.abc import Sequence

import numpy as np

from fedfactory.data.deformation import deformed
from fedfactory.data.store import ClientView
from fedfactory.errors import FedFactoryError
from fedfactory.factory.parameters import FactoryParameters


def training_images(
    view: ClientView, size: int, split: str = "train", copies: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Read a client's slices of the organ, without their labels.

    Args:
        view: the client's store.
        size: edge that the images are brought to: the mean over blocks where the store's edge is a multiple of it,
            bilinear interpolation otherwise.
        split: ``train`` or ``validation``.
        copies: how often each slice occurs: as it is, and in deformed copies
            (:func:`fedfactory.data.deformation.deformed`).

    Returns:
        Images (N, size, size) float32 in [-1, 1] and their slice-position bins (N,) int64, in the order of the index;
        copies follow in the same order.

    Raises:
        FedFactoryError: no slice of the split has a position, images that are not square, an edge that is no power of
            two, or values that leave [-1, 1].
        ValueError: another split; which test slices show the organ is known from hidden labels.
    """
    if split not in ("train", "validation"):
        raise ValueError(f"the factory uses no images of split {split!r}")
    if size < 1 or size & (size - 1):
        raise FedFactoryError(f"{view.folder}: the factory's images need a power of two as edge, not {size} pixels")
    wanted = [row for row in view.rows if row.split == split]
    count = sum(row.position_bin >= 0 for row in wanted)
    if not count:
        raise FedFactoryError(f"{view.folder}: no slice of the split '{split}' shows the organ; add subjects")
    found = np.zeros(0, np.float32)
    positions: list[int] = []
    # A release fills a computer's memory once, not twice.
    for volume in view.unlabelled_images(split):
        rows = [row for row in wanted if row.case == volume.name]
        kept = [number for number, row in enumerate(rows) if row.position_bin >= 0]
        images = np.asarray(volume.images[kept], dtype=np.float32)
        if images.shape[1] != images.shape[2]:
            raise FedFactoryError(
                f"{view.folder}: images of {images.shape[1]} x {images.shape[2]} pixels are not square"
            )
        if not (np.isfinite(images).all() and abs(images).max(initial=0) <= 1):
            raise FedFactoryError(
                f"{view.folder}: images leave [-1, 1]; make the store again with the rule prepare_client"
            )
        if not positions:
            found = np.empty((count, *images.shape[1:]), np.float32)
        found[len(positions) : len(positions) + len(kept)] = images
        positions += [rows[number].position_bin for number in kept]
    if copies > 1:
        found, _ = deformed(found, copies)
    return resized(found, size), np.tile(np.asarray(positions, dtype=np.int64), copies)


def subjects_of(view: ClientView, split: str) -> list[str]:
    """The subject of each slice that :func:`training_images` gives, in its order, once."""
    shown: dict[str, list[str]] = {}
    for row in view.rows:
        if row.split == split:
            shown.setdefault(row.case, []).extend([row.subject] if row.position_bin >= 0 else [])
    return [subject for of_case in shown.values() for subject in of_case]


def numbered(subjects: Sequence[str], copies: int) -> np.ndarray:
    """Which subject each image and its copies are of, (copies * n,) int64: numbers, in the order of first sight."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(subjects))}
    return np.tile(np.array([numbers[name] for name in subjects], np.int64), copies)


def fill_positions(positions: np.ndarray, bins: int) -> np.ndarray:
    """Slice positions of a client without gaps: images of one bin stand for the empty ones above it, too, in turn.

    Volumes with fewer slices than bins leave bins empty, and flat images (projections of the retina) nearly all of
    them; the factory would be asked for positions that it never saw of this client.

    Args:
        positions: (N,) int64, in [0, bins).
        bins: number of slice-position bins.

    Returns:
        (N,) int64, each at least as large as before and below the next bin that is in use.
    """
    values, which, counts = np.unique(positions, return_inverse=True, return_counts=True)
    widths = np.diff(values, append=bins)
    # How often the same bin came before: 0, 1, 2, ... within each bin.
    before = np.empty_like(positions)
    before[np.argsort(which, kind="stable")] = np.concatenate([np.arange(count) for count in counts])
    return positions + before % widths[which]


def placed(positions: np.ndarray, parameters: FactoryParameters) -> np.ndarray:
    """Slice positions (N,) for a training: without gaps, or as they are where a training is private.

    To fill gaps is to count the images of all subjects: what one of them shows would move the others.
    """
    private = parameters.training.privacy is not None
    return positions if private else fill_positions(positions, parameters.network.position_bins)


def resized(images: np.ndarray, size: int) -> np.ndarray:
    """Bring square images (N, S, S) to (N, size, size); see :func:`training_images`."""
    count, edge, _ = images.shape
    if edge == size:
        return images
    if edge % size == 0:
        blocks = images.reshape(count, size, edge // size, size, edge // size)
        return blocks.mean(axis=(2, 4), dtype=np.float32)
    import torch
    import torch.nn.functional as F

    scaled = F.interpolate(
        torch.from_numpy(images)[:, None], (size, size), mode="bilinear", align_corners=False, antialias=edge > size
    )
    return scaled[:, 0].clamp(-1, 1).numpy()
