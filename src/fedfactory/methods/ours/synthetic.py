"""The synthetic source set: volumes that the factory samples with the source's condition, labelled by S_s."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fedfactory.errors import FedFactoryError
from fedfactory.factory.model import Factory
from fedfactory.methods.ours.parameters import SyntheticParameters
from fedfactory.methods.ours.rendering import Look
from fedfactory.storage.files import parse_json
from fedfactory.training.seeds import derive_seed

_ARRAYS = ("images", "labels", "z", "volume", "position")


@dataclass(frozen=True)
class SyntheticSet:
    """Labelled synthetic slices of the source, and the latents that they were made from.

    Attributes:
        images: (n, S, S) float32 in [-1, 1], of the factory's size.
        labels: (n, L, L) uint8, by S_s, of the size of the source's slices.
        z: (volumes, latent) float32.
        volume: (n,) int64, the row of ``z`` of each slice.
        position: (n,) float32, slice position in bins; fractions lie between two bins.
    """

    images: np.ndarray
    labels: np.ndarray
    z: np.ndarray
    volume: np.ndarray
    position: np.ndarray

    def render_as(self, factory: Factory, look: Look, zoom: float) -> np.ndarray:
        """The same latents with another look: the counterparts of ``images`` in factory pairs, (n, S, S) float32.

        Args:
            factory: the one that made the set.
            look: how to render.
            zoom: logarithm of the magnification; the source's, so that a pair lies in one field of view.
        """
        z = torch.from_numpy(self.z).to(factory.device)[torch.from_numpy(self.volume).to(factory.device)]
        return factory.render(look.styles(factory, z, torch.from_numpy(self.position)), zoom)

    def write(self, folder: Path, factory: Factory, counts: dict[str, int]) -> None:
        """Write into an existing folder, as plain arrays; with the numbers of slices, and the factory's digest."""
        for name in _ARRAYS:
            np.save(folder / f"{name}.npy", getattr(self, name), allow_pickle=False)
        (folder / "card.json").write_text(json.dumps({"factory": factory.digest, **counts}, indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path, factory: Factory) -> SyntheticSet:
        """Read what :meth:`write` wrote.

        Raises:
            FedFactoryError: no such set, or one of another factory.
        """
        try:
            found = cls(**{name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in _ARRAYS})
            maker = parse_json((folder / "card.json").read_text())["factory"]
        except (OSError, EOFError, ValueError, KeyError) as error:
            raise FedFactoryError(
                f"{folder} is no synthetic source set ({error}); make it with the rule synthetic_source"
            ) from None
        if maker != factory.digest:
            raise FedFactoryError(
                f"{folder} was sampled from another factory (weights {maker[:12]}) than the one given (weights "
                f"{factory.digest[:12]}); take both from one run"
            )
        return found


def sample_volumes(factory: Factory, look: Look, p: SyntheticParameters, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Draw latents of volumes: one z for each, slice positions in order, ``between`` slices from bin to bin.

    Returns:
        z (volumes, latent), the volume of each slice (n,), and its position in bins (n,).
    """
    z = factory.latents(p.volumes, derive_seed("synthetic", seed))
    bins = factory.card.parameters.network.position_bins
    places = torch.arange((bins - 1) * p.between + 1, dtype=torch.float32) / p.between
    return z, torch.arange(p.volumes).repeat_interleave(len(places)), places.repeat(p.volumes)


Assess = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""Images (n, S, S) -> labels (n, L, L) uint8, reconstruction error (n,) and doubt (n,) of the source branch."""


def make_synthetic_set(
    factory: Factory, look: Look, p: SyntheticParameters, assess: Assess, limits: dict[str, float], seed: int
) -> tuple[SyntheticSet, dict[str, int]]:
    """Sample, label and filter.

    A slice is dropped if E_s and F reconstruct it worse than ``tolerance`` times ``limits["error"]``, or S_s
    segments it with more doubt than ``tolerance`` times ``limits["doubt"]``: the worst that the source saw on its own
    validation slices. What the source branch does not know from home is not labelled by it, and no image of another
    site is used.

    Returns:
        The set, and the numbers of slices: sampled, and dropped for each reason.

    Raises:
        FedFactoryError: fewer than one slice in ten is left.
    """
    z, volume, position = sample_volumes(factory, look, p, seed)
    images = factory.render(look.styles(factory, z[volume.to(z.device)], position), look.zoom)
    labels, error, doubt = assess(images)
    tolerance = math.inf if p.tolerance is None else p.tolerance
    bad, unsure = (found > tolerance * limits[name] for name, found in (("error", error), ("doubt", doubt)))
    kept = ~(bad | unsure)
    counts = {"sampled": len(images), "kept": int(kept.sum()), "badly reconstructed": int(bad.sum())}
    counts["in doubt"] = int(unsure.sum())
    if kept.sum() < len(images) / 10:
        raise FedFactoryError(
            f"of {len(images)} synthetic slices only {counts['kept']} pass the filter (badly reconstructed "
            f"{counts['badly reconstructed']}, in doubt {counts['in doubt']}): factory and source branch do not fit; "
            "train the source branch longer, or raise 'synthetic.tolerance'"
        )
    chosen = np.flatnonzero(kept)
    return (
        SyntheticSet(
            images=images[chosen],
            labels=labels[chosen],
            z=z.cpu().numpy(),
            volume=volume.numpy()[chosen],
            position=position.numpy()[chosen],
        ),
        counts,
    )
