"""Named vessels of the brain as roots of the vessel process: arteries for TOF, veins for SWI."""

from collections.abc import Callable

import numpy as np

from fedfactory.phantoms.head import Head
from fedfactory.phantoms.vessels import Vessels, VesselStatistics, grow, trunk

Field = Callable[[np.ndarray], np.ndarray]

# Calibres are about 1.2 times those of the living, so that a matrix of 64 resolves them.
ARTERIES = VesselStatistics(1.0, 0.16, 14.0, 11.0, (0.45, 1.0), 0.95, 0.004)
SCALP_ARTERIES = VesselStatistics(1.0, 0.22, 12.0, 30.0, (0.5, 0.9), 1.0, 0.004)
VEINS = VesselStatistics(1.0, 0.10, 25.0, 13.0, (0.5, 1.0), 1.05, 0.004)


def in_brain(head: Head, margin: float) -> Field:
    """Return a test (n, 3) -> (n,) for points within the cerebral hull grown by a margin in mm."""
    a, b, c = (s + margin for s in head.semi)

    def inside(p: np.ndarray) -> np.ndarray:
        below = np.where(p[:, 2] < 0, 0.8, 1.0)
        return (p[:, 0] / a) ** 2 + (p[:, 1] / b) ** 2 + (p[:, 2] / (c * below)) ** 2 < 1

    return inside


def arteries(rng: np.random.Generator, head: Head, calibre: float) -> tuple[Vessels, Vessels]:
    """Grow the arteries of a head.

    Args:
        rng: the subject's vessel stream.
        head: anatomy that they supply.
        calibre: factor on all radii.

    Returns:
        Intracranial arteries (circle of Willis and its trees) and arteries of the scalp, which carry no label.
    """

    def jitter(points: list, spread: float = 2.0) -> np.ndarray:
        return np.array(points, float) + rng.normal(0, spread, (len(points), 3))

    size, named, tips = calibre * rng.uniform(0.9, 1.12), [], []
    low = -0.32 * head.semi[2]  # height of the circle of Willis
    for side in (-1, 1):
        hypoplasia = rng.uniform(0.75, 1.05)
        top = np.array([side * 11.0, -9.0, low]) + rng.normal(0, 1.5, 3)
        carotid = jitter([[side * 22, 6, low - 34], [side * 17, 2, low - 20], [side * 14, -14, low - 10]])
        named.append(trunk(np.vstack([carotid, top]), (3.7 * size, 3.1 * size), 0.6))
        m1 = jitter([[side * 24, -10, low + 1], [side * 35, -7, low + 2], [side * 44, 0, low + 7]])
        named.append(trunk(np.vstack([top, m1]), (2.8 * size, 2.2 * size), 0.6))
        tips += [named[-1].position[-1], named[-1].position[-12], named[-1].position[-24]]
        a1 = jitter([[side * 4, -20, low + 2], [side * 3, -38, low + 9], [side * 3, -46, low + 26]])
        named.append(trunk(np.vstack([top, a1]), (2.3 * size * hypoplasia, 1.8 * size), 0.6))
        tips += [named[-1].position[-1]]
        if rng.random() < 0.75:
            pcom = jitter([[side * 10, 2, low], [side * 9, 12, low]], 1)
            named.append(trunk(np.vstack([top, pcom]), (1.5 * size, 1.4 * size), 0.6))
    tip = np.array([0.0, 10.0, low]) + rng.normal(0, 1.5, 3)
    basilar = np.vstack([jitter([[rng.normal(0, 4), 8, low - 34], [rng.normal(0, 4), 5, low - 16]]), tip])
    named.append(trunk(basilar, (2.7 * size, 2.5 * size), 0.6))
    for side in (-1, 1):
        pca = jitter([[side * 14, 13, low + 1], [side * 21, 28, low + 6], [side * 16, 48, low + 9]])
        named.append(trunk(np.vstack([tip, pca]), (2.2 * size, 1.8 * size), 0.6))
        tips += [named[-1].position[-1], named[-1].position[-18]]
    tree = named[0]
    for vessel in named[1:]:
        tree = tree + vessel
    start = np.array(tips)
    outward = start * (1.0, 1.0, 0.3) + rng.normal(0, 9, start.shape) + (0, 0, 16)
    roots = Vessels(start, size * rng.uniform(1.6, 2.2, len(start)), outward)
    tree = tree + grow(rng, roots, ARTERIES, in_brain(head, 1.0), _along_surface(head), 110)
    return tree, _scalp(rng, head, size)


def _along_surface(head: Head) -> Field:
    """Steer tips up and, near the surface, along it, as arteries run in the sulci."""
    semi = np.array(head.semi)

    def steer(p: np.ndarray) -> np.ndarray:
        radius = np.sqrt(((p / semi) ** 2).sum(axis=1, keepdims=True))
        outward = p / semi
        return 0.05 * (0.78 - radius) * outward + np.array([0, 0, 0.012])

    return steer


def _scalp(rng: np.random.Generator, head: Head, size: float) -> Vessels:
    a, b, _ = head.semi
    reach = head.gap + head.skull + 1.5 + 0.6 * head.scalp
    side = np.array([-1.0, 1.0, -1.0, 1.0])
    start = np.column_stack([side * (a + reach) * 0.97, rng.uniform(-15, 25, 4), np.full(4, -42.0)])
    roots = Vessels(
        start, size * rng.uniform(1.3, 1.9, 4), np.column_stack([side * 0, rng.normal(0, 0.5, 4), side * 0 + 1])
    )
    shell = np.array([a + reach, b + reach, head.semi[2] + reach])

    def steer(p: np.ndarray) -> np.ndarray:
        radius = np.sqrt(((p / shell) ** 2).sum(axis=1, keepdims=True))
        return 3.0 * (1 - radius) * p / shell

    return grow(rng, roots, SCALP_ARTERIES, lambda p: p[:, 2] < 45, steer, 90)


def veins(rng: np.random.Generator, head: Head) -> Vessels:
    """Grow the veins of a head: sagittal sinus, deep veins, and trees of cortical and medullary veins."""
    a, b, c = head.semi
    arc = np.linspace(-2.3, 0.15, 9)  # from the forehead over the vertex to the torcular
    sinus = np.column_stack([rng.normal(0, 0.8, 9), (b + 2) * np.sin(arc + 1.0), (c + 2) * np.cos(arc + 1.0)])
    found = trunk(sinus, (1.8, 3.4), 0.6)
    straight = np.array([[0, 28, 4], [0, 46, 2], [0, b - 2, -6]], float) + rng.normal(0, 1, (3, 3))
    found = found + trunk(straight, (2.4, 2.8), 0.6)
    starts, aims, radii = [], [], []
    for side in (-1, 1):
        deep = np.array([[side * 2, 27, 5], [side * 3, 8, 9], [side * 6, -12, 10], [side * 14, -24, 16]], float)
        deep += rng.normal(0, 1, deep.shape)
        vein = trunk(deep, (2.0, 1.5), 0.6)
        found = found + vein
        for at in (0.35, 0.7, 0.99):
            starts.append(vein.position[int(at * (len(vein.position) - 1))])
            aims.append([side * 1.0, rng.normal(0, 0.6), rng.uniform(0, 0.8)])
            radii.append(rng.uniform(1.3, 1.7))
    count = int(rng.integers(34, 52))
    around, height = rng.uniform(0, 2 * np.pi, count), rng.uniform(-0.25, 0.95, count)
    ring = np.sqrt(1 - height**2)
    surface = 0.97 * np.column_stack([a * ring * np.cos(around), b * ring * np.sin(around), c * height])
    inward = -surface * (1, 1, 0.6) + rng.normal(0, 30, surface.shape)
    roots = Vessels(
        np.vstack([starts, surface]),
        np.concatenate([radii, rng.uniform(1.3, 2.0, count)]),
        np.vstack([np.array(aims) * 50, inward]),
    )
    return found + grow(rng, roots, VEINS, in_brain(head, 0.0), None, 42)
