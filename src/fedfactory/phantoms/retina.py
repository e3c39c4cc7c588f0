"""Anatomy of the retina: large vessels by the vessel process, capillary mesh, foveal avascular zone."""

from dataclasses import dataclass

import numpy as np

from fedfactory.phantoms.grid import Grid, smooth_noise
from fedfactory.phantoms.vessels import Vessels, VesselStatistics, grow, rasterise

RETINA = VesselStatistics(0.03, 0.6, 0.9, 18.0, (0.35, 0.8), 0.028, 0.06, planar=True)


@dataclass(frozen=True)
class Retina:
    """Flow maps in mm/s (1, fine rows, fine cols), 0 without a vessel; distance in radii of the avascular zone."""

    large: np.ndarray
    capillary: np.ndarray
    faz: np.ndarray


def draw_retina(rng: np.random.Generator, grid: Grid) -> Retina:
    """Draw one macula of 3 mm: arterioles and venules that curve around the fovea, and the capillaries between them."""
    half = 0.5 * grid.cols * grid.spacing
    centre = np.array([*rng.normal(0, 0.12, 2), 0.0])
    size = float(np.clip(rng.normal(0.3, 0.08), 0.15, 0.5))
    large = _tree(rng, half, centre, size)
    flow = rasterise(large, grid, np.clip(large.radius / 0.04, 0.3, 3) * 4.0)
    dx, dy = grid.x - centre[0], grid.y - centre[1]
    angle = np.arctan2(dy, dx)
    wave = sum(rng.normal(0, 0.07) * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in range(2, 6))
    faz = np.hypot(dx, dy * rng.uniform(0.85, 1.15)) / (size * (1 + wave))
    return Retina(flow, _capillaries(rng, grid, flow, faz), faz.astype(np.float32))


def _tree(rng: np.random.Generator, half: float, centre: np.ndarray, faz: float) -> Vessels:
    """Roots on the border of the field, more of them above and below (arcades), growing towards the fovea."""
    count = int(rng.integers(6, 10))
    angle = rng.uniform(0, 2 * np.pi, count)
    start = half * np.column_stack([np.cos(angle), np.sin(angle), 0 * angle])
    start /= np.abs(start).max(axis=1, keepdims=True) / (0.999 * half)
    aim = centre - start + rng.normal(0, 0.55, start.shape)
    roots = Vessels(start, rng.uniform(0.036, 0.064, count), aim)

    def inside(p: np.ndarray) -> np.ndarray:
        away = np.hypot(p[:, 0] - centre[0], p[:, 1] - centre[1]) > 1.2 * faz
        return away & (np.abs(p[:, :2]).max(axis=1) < 1.1 * half)

    def steer(p: np.ndarray) -> np.ndarray:
        out = p - centre
        distance = np.sqrt((out**2).sum(axis=1, keepdims=True))
        around = np.column_stack([-out[:, 1], out[:, 0], 0 * out[:, 0]])
        spin = np.where(out[:, :1] * out[:, 1:2] > 0, 1.0, -1.0)
        return 1.2 * spin * around * np.exp(-distance / 0.8)

    return grow(rng, roots, RETINA, inside, steer, 130)


def _capillaries(rng: np.random.Generator, grid: Grid, large: np.ndarray, faz: np.ndarray) -> np.ndarray:
    """A mesh: the zero crossings of two band-limited fields (superficial and deep plexus), with uneven perfusion."""
    cells = grid.cols * grid.spacing / 0.13
    flow = np.zeros(grid.shape, np.float32)
    perfusion = np.exp(0.35 * smooth_noise(rng, grid.shape, (1, 5, 5)))
    for scale, width in ((1.0, 0.42), (1.5, 0.36)):
        mesh = np.abs(smooth_noise(rng, grid.shape, (1, cells * scale, cells * scale))) < width
        flow = np.maximum(flow, mesh * 2.2 * perfusion)
    nonperfused = smooth_noise(rng, grid.shape, (1, 4, 4)) > rng.uniform(1.6, 3.5)
    flow[nonperfused | (faz < 1) | (large > 0)] = 0
    return flow
