"""Procedural segmentation tasks, for pre-training without a download; none is an anatomy of the benchmark.

A *task* is a geometry and an appearance, both drawn once: what counts as the target, how large it is and where, which
other things are there, and what grey value and texture each of them has. Its *samples* vary within that, as images of
one organ in one modality do (Butoi et al., ICCV 2023, make such tasks from random label maps).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

BACKGROUND, TARGET = 0, 1
_OTHERS = 3
"""Kinds of things beside the target."""

Geometry = Callable[[np.random.Generator], np.ndarray]
"""Draw a sample's label map (S, S) uint8: 0 background, 1 target, 2 and more other things."""
Masks = Callable[[np.random.Generator], np.ndarray]
"""Draw a mask (S, S) of bool of one thing."""


@dataclass(frozen=True)
class Appearance:
    """Grey values of one task.

    Attributes:
        means: grey value of each label, in [0, 1].
        deviations: strength of each label's texture.
        grain: scale of each label's texture in pixels.
        blur: of the whole image, in pixels.
        noise: standard deviation.
        shading: strength of a smooth gradient over the image.
        vary: standard deviation by which a sample's means differ from the task's.
    """

    means: np.ndarray
    deviations: np.ndarray
    grain: np.ndarray
    blur: float
    noise: float
    shading: float
    vary: float

    def image(self, labels: np.ndarray, stream: np.random.Generator) -> np.ndarray:
        """An image (S, S) float32 in [0, 1] of a label map."""
        means = self.means + stream.normal(0, self.vary, len(self.means))
        image = means[labels]
        for label in np.unique(labels):
            texture = _smooth_noise(labels.shape[0], self.grain[label], stream)
            image = image + np.where(labels == label, self.deviations[label] * texture, 0)
        if self.blur:
            image = ndimage.gaussian_filter(image, self.blur)
        image = image + self.shading * _smooth_noise(labels.shape[0], labels.shape[0] / 3, stream)
        image = image + stream.normal(0, self.noise, labels.shape)
        return np.clip(image, 0, 1).astype(np.float32)


@dataclass(frozen=True)
class Task:
    """What to segment.

    Attributes:
        geometry: draws label maps.
        appearance: draws their images.
    """

    geometry: Geometry
    appearance: Appearance

    def samples(self, count: int, stream: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Images (count, S, S) float32 in [0, 1] and masks (count, S, S) uint8, 1 the target."""
        labels = [self.geometry(stream) for _ in range(count)]
        images = [self.appearance.image(map_, stream) for map_ in labels]
        return np.stack(images), np.stack([(map_ == TARGET).astype(np.uint8) for map_ in labels])


def draw_task(families: Sequence[str], size: int, stream: np.random.Generator, acquired: bool = False) -> Task:
    """Draw a task.

    Args:
        families: names in :data:`FAMILIES` to choose from.
        size: edge S in pixels.
        stream: of the draws.
        acquired: whether images are blurred, shaded and noisy as if a scanner had taken them.
    """
    geometry = FAMILIES[families[int(stream.integers(len(families)))]](size, stream)
    return Task(geometry, _appearance(stream, acquired))


def _appearance(stream: np.random.Generator, acquired: bool) -> Appearance:
    count = 2 + _OTHERS
    means = stream.uniform(0.1, 0.9, count)
    deviations, grain = stream.uniform(0, 0.12, count), stream.uniform(0.5, 3, count)
    # The target differs from the background in grey value or in texture.
    if stream.random() < 0.85:
        step = stream.uniform(0.15, 0.5) * stream.choice((-1, 1))
        means[TARGET] = np.clip(means[BACKGROUND] + step, 0, 1)
        if abs(means[TARGET] - means[BACKGROUND]) < 0.15:
            means[TARGET] = np.clip(means[BACKGROUND] - step, 0, 1)
    else:
        means[TARGET] = means[BACKGROUND]
        deviations[BACKGROUND], deviations[TARGET] = stream.permutation((0.02, 0.2))
    strength = 1.0 if acquired else 0.3
    return Appearance(
        means,
        deviations,
        grain,
        blur=strength * stream.uniform(0, 1.2),
        noise=strength * stream.uniform(0, 0.1),
        shading=strength * stream.uniform(0, 0.15),
        vary=0.03,
    )


def _smooth_noise(size: int, scale: float, stream: np.random.Generator) -> np.ndarray:
    """Noise (size, size) of zero mean and unit variance that is smooth over ``scale`` pixels."""
    noise = ndimage.gaussian_filter(stream.standard_normal((size, size)), scale, mode="wrap")
    return (noise - noise.mean()) / max(noise.std(), 1e-6)


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    axis = np.linspace(-1, 1, size)
    return np.meshgrid(axis, axis, indexing="ij")


def _outline(size: int, stream: np.random.Generator) -> Masks:
    """One kind of thing: masks of a star-shaped outline, whose radius is a short Fourier series of the angle."""
    y, x = _grid(size)
    radius, place = stream.uniform(0.12, 0.5), stream.uniform(-0.5, 0.5, 2)
    waves, phases = stream.normal(0, (0.05, 0.25, 0.1, 0.05)), stream.uniform(0, 2 * np.pi, 4)

    def draw(sample: np.random.Generator) -> np.ndarray:
        own = place + sample.normal(0, 0.1, 2)
        dy, dx = y - own[0], x - own[1]
        angle = np.arctan2(dy, dx)
        amplitudes, turn = waves + sample.normal(0, 0.04, 4), sample.normal(0, 0.3)
        turned = np.arange(1, 5)[:, None, None] * (angle + turn) + phases[:, None, None]
        outline = 1 + (amplitudes[:, None, None] * np.cos(turned)).sum(0)
        return np.hypot(dy, dx) < radius * np.exp(sample.normal(0, 0.12)) * outline

    return draw


def _polygon(size: int, stream: np.random.Generator) -> Masks:
    """Masks of a convex polygon."""
    y, x = _grid(size)
    sides, place, radius = stream.integers(3, 8), stream.uniform(-0.5, 0.5, 2), stream.uniform(0.12, 0.4)
    angles = np.sort(stream.uniform(0, 2 * np.pi, sides)) + np.arange(sides) * 1e-3
    # At least one side to each half plane, or the polygon would be open.
    angles = np.concatenate([angles, angles[0] + np.array([2, 4]) * np.pi / 3])

    def draw(sample: np.random.Generator) -> np.ndarray:
        own, turn = place + sample.normal(0, 0.1, 2), sample.normal(0, 0.2)
        distances = radius * np.exp(sample.normal(0, 0.12, len(angles)))
        inside = np.ones((size, size), bool)
        for angle, distance in zip(angles + turn, distances, strict=True):
            inside &= (y - own[0]) * np.sin(angle) + (x - own[1]) * np.cos(angle) < distance
        return inside

    return draw


def _stroke(size: int, stream: np.random.Generator) -> Masks:
    """Masks of a bent line."""
    y, x = _grid(size)
    points, width = stream.uniform(-0.8, 0.8, (3, 2)), stream.uniform(0.04, 0.12)
    t = np.linspace(0, 1, 24)[:, None]

    def draw(sample: np.random.Generator) -> np.ndarray:
        a, b, c = points + sample.normal(0, 0.12, points.shape)
        line = (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c
        nearest = np.full((size, size), np.inf)
        for place in line:
            np.minimum(nearest, np.hypot(y - place[0], x - place[1]), out=nearest)
        return nearest < width

    return draw


def _things(kind: Callable[[int, np.random.Generator], Masks]) -> Callable[[int, np.random.Generator], Geometry]:
    """A family: a few things of the target's kind among a few others."""

    def family(size: int, stream: np.random.Generator) -> Geometry:
        kinds = stream.choice(np.arange(1, _OTHERS + 1), stream.integers(0, _OTHERS + 1), replace=False)
        others = [(label + TARGET, kind(size, stream)) for label in kinds]
        targets = [(TARGET, kind(size, stream)) for _ in range(stream.integers(1, 4))]

        def draw(sample: np.random.Generator) -> np.ndarray:
            labels = np.zeros((size, size), np.uint8)
            for label, mask in (*others, *targets):
                labels[mask(sample)] = label
            return labels

        return draw

    return family


def _blobs(size: int, stream: np.random.Generator) -> Geometry:
    """Islands of smooth noise: wherever they are, only what they look like tells."""
    scale, share = size * stream.uniform(0.04, 0.12), stream.uniform(0.08, 0.35)

    def draw(sample: np.random.Generator) -> np.ndarray:
        noise, other = (_smooth_noise(size, scale, sample) for _ in range(2))
        labels = np.where(other > np.quantile(other, 0.85), TARGET + 1, BACKGROUND).astype(np.uint8)
        labels[noise > np.quantile(noise, 1 - share)] = TARGET
        return labels

    return draw


def _cells(size: int, stream: np.random.Generator) -> Geometry:
    """A mosaic of cells, each of one of the kinds; which kinds there are is the task's, where they lie the sample's."""
    y, x = _grid(size)
    count, shares = int(stream.integers(8, 30)), stream.dirichlet(np.ones(2 + _OTHERS))

    def draw(sample: np.random.Generator) -> np.ndarray:
        places = sample.uniform(-1.1, 1.1, (count, 2))
        kinds = sample.choice(2 + _OTHERS, count, p=shares).astype(np.uint8)
        kinds[0] = TARGET
        distances = (y[..., None] - places[:, 0]) ** 2 + (x[..., None] - places[:, 1]) ** 2
        return kinds[distances.argmin(-1)]

    return draw


def _waves(size: int, stream: np.random.Generator) -> Geometry:
    """Bands of a bent grating."""
    y, x = _grid(size)
    angle, frequency, share = stream.uniform(0, np.pi), stream.uniform(2, 7), stream.uniform(-0.3, 0.6)

    def draw(sample: np.random.Generator) -> np.ndarray:
        turned = angle + sample.normal(0, 0.15)
        along = x * np.cos(turned) + y * np.sin(turned) + 0.12 * _smooth_noise(size, size / 6, sample)
        return (np.sin(frequency * np.pi * along + sample.uniform(0, 2 * np.pi)) > share).astype(np.uint8)

    return draw


def _maps(size: int, stream: np.random.Generator) -> Geometry:
    """A random map of smooth regions, bent anew for each sample."""
    fields = np.stack([_smooth_noise(size, size * stream.uniform(0.1, 0.2), stream) for _ in range(2 + _OTHERS)])
    # Room for the target, and not for it alone.
    fields[TARGET] += stream.uniform(-0.2, 0.6)
    map_ = fields.argmax(0).astype(np.uint8)
    bend, grid = size * stream.uniform(0.01, 0.04), np.indices((size, size)).astype(float)

    def draw(sample: np.random.Generator) -> np.ndarray:
        shift = sample.normal(0, 0.04 * size, (2, 1, 1))
        places = grid + shift + bend * np.stack([_smooth_noise(size, size / 6, sample) for _ in range(2)])
        return ndimage.map_coordinates(map_, places, order=0, mode="nearest")

    return draw


FAMILIES: dict[str, Callable[[int, np.random.Generator], Geometry]] = {
    "outlines": _things(_outline),
    "polygons": _things(_polygon),
    "strokes": _things(_stroke),
    "blobs": _blobs,
    "cells": _cells,
    "waves": _waves,
    "maps": _maps,
}
"""Name -> a geometry of that family, drawn for an edge in pixels."""
