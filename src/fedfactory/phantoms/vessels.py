"""One vessel process for all organs: tips that walk, bend, thin out and branch by Murray's law."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fedfactory.phantoms.grid import Grid
from fedfactory.phantoms.physics import murray_angle, murray_daughters


@dataclass(frozen=True)
class VesselStatistics:
    """How the vessels of one organ grow; lengths in mm.

    Attributes:
        step: length of one step of the walk.
        tortuosity: deviation of the change of direction, radians per square root of mm.
        persistence: length over which the original direction is remembered.
        branch_length: mean distance between branchings, in radii of the vessel.
        ratio: range of the radius of the smaller daughter to the larger one.
        smallest: radius at which a vessel ends.
        taper: relative loss of radius per mm.
        planar: True for a vessel bed within one plane (retina).
    """

    step: float
    tortuosity: float
    persistence: float
    branch_length: float
    ratio: tuple[float, float]
    smallest: float
    taper: float
    planar: bool = False


@dataclass(frozen=True)
class Vessels:
    """Sampled centre lines: position (n, 3) as x, y, z, radius (n,), unit direction (n, 3); lengths in mm."""

    position: np.ndarray
    radius: np.ndarray
    direction: np.ndarray

    def __add__(self, other: "Vessels") -> "Vessels":
        """Join two sets of centre lines."""
        return Vessels(
            np.concatenate([self.position, other.position]),
            np.concatenate([self.radius, other.radius]),
            np.concatenate([self.direction, other.direction]),
        )


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.maximum(np.sqrt((v * v).sum(axis=-1, keepdims=True)), 1e-9)


def grow(
    rng: np.random.Generator,
    roots: Vessels,
    statistics: VesselStatistics,
    inside: Callable[[np.ndarray], np.ndarray],
    steer: Callable[[np.ndarray], np.ndarray] | None = None,
    steps: int = 160,
) -> Vessels:
    """Grow trees from root tips.

    Args:
        rng: the subject's vessel stream.
        roots: start positions, radii and directions.
        statistics: of this organ.
        inside: maps positions (n, 3) to a boolean mask; a tip that leaves ends.
        steer: optional field added to the direction per mm, (n, 3) to (n, 3).
        steps: upper limit of the length of any path, in steps.

    Returns:
        All sampled centre line points, the roots included.
    """
    s = statistics
    flat = np.array([1.0, 1.0, 0.0 if s.planar else 1.0])
    position, radius = roots.position.copy(), roots.radius.copy()
    direction, home = _unit(roots.direction * flat), _unit(roots.direction * flat)
    trail = [roots]
    for _ in range(steps):
        bend = s.tortuosity * np.sqrt(s.step) * rng.standard_normal(direction.shape) * flat
        direction = direction + bend + (home - direction) * (s.step / s.persistence)
        if steer is not None:
            direction = direction + steer(position) * s.step
        direction = _unit(direction)
        position = position + s.step * direction
        radius = radius * (1 - s.taper * s.step)
        fork = rng.random(len(radius)) < s.step / (s.branch_length * radius)
        ratio = rng.uniform(*s.ratio, len(radius))
        turn = _unit(rng.standard_normal(direction.shape) * flat)
        large, small = murray_daughters(radius, ratio)
        across = _unit(turn - (turn * direction).sum(axis=1, keepdims=True) * direction)
        bent = _rotate(direction, across, murray_angle(radius, large, small))
        side = _rotate(direction, -across, murray_angle(radius, small, large))
        position = np.concatenate([position, position[fork]])
        direction = np.concatenate([np.where(fork[:, None], bent, direction), side[fork]])
        home = np.concatenate([np.where(fork[:, None], bent, home), side[fork]])
        radius = np.concatenate([np.where(fork, large, radius), small[fork]])
        alive = inside(position) & (radius > s.smallest)
        position, direction, home, radius = position[alive], direction[alive], home[alive], radius[alive]
        if not len(radius):
            break
        trail.append(Vessels(position, radius, direction))
    return Vessels(
        np.concatenate([t.position for t in trail]),
        np.concatenate([t.radius for t in trail]),
        np.concatenate([t.direction for t in trail]),
    )


def _rotate(direction: np.ndarray, across: np.ndarray, angle: np.ndarray) -> np.ndarray:
    return np.cos(angle)[:, None] * direction + np.sin(angle)[:, None] * across


def trunk(waypoints: np.ndarray, radii: tuple[float, float], step: float) -> Vessels:
    """Sample a smooth named vessel through waypoints (n, 3) with a radius that changes linearly from end to end."""
    waypoints = np.asarray(waypoints, dtype=float)
    padded = np.concatenate([2 * waypoints[:1] - waypoints[1:2], waypoints, 2 * waypoints[-1:] - waypoints[-2:-1]])
    pieces = []
    for p0, p1, p2, p3 in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):  # Catmull-Rom
        count = max(int(np.ceil(np.sqrt(((p2 - p1) ** 2).sum()) / step)), 2)
        t = (np.arange(count) / count)[:, None]
        pieces.append(
            0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
        )
    position = np.concatenate(pieces)
    direction = _unit(np.gradient(position, axis=0))
    return Vessels(position, np.linspace(*radii, len(position)), direction)


def rasterise(vessels: Vessels, grid: Grid, value: np.ndarray) -> np.ndarray:
    """Draw vessels into the slabs of a grid, each slab as the projection of what lies within it.

    Args:
        vessels: centre lines; points outside the grid are left out.
        grid: sampling grid; slab k reaches half a slice distance to either side of its centre.
        value: (n,) positive value to draw; where vessels overlap the thicker one is seen.

    Returns:
        Float32 (slices, fine rows, fine cols); 0 where there is no vessel.
    """
    image = np.zeros(grid.shape, np.float32)
    depth, rows, cols = grid.shape
    x, y, z = vessels.position.T
    col = x / grid.step + (cols - 1) / 2
    row = y / grid.step + (rows - 1) / 2
    plane = np.rint((z - grid.z0) / grid.thickness + (depth - 1) / 2).astype(int)
    size = vessels.radius / grid.step
    bins = np.ceil(size * 2).astype(int)  # half a fine sample apart: discs of one bin share their offsets
    for b in np.unique(bins):
        here = (bins == b) & (plane >= 0) & (plane < depth)
        r = max(b / 2, 0.5)
        reach = np.arange(-int(np.ceil(r)), int(np.ceil(r)) + 1)
        dr, dc = (o.ravel() for o in np.meshgrid(reach, reach, indexing="ij"))
        rr, cc = np.rint(row[here]).astype(int)[:, None] + dr, np.rint(col[here]).astype(int)[:, None] + dc
        near = np.hypot(rr - row[here][:, None], cc - col[here][:, None]) <= size[here][:, None]
        near &= (rr >= 0) & (rr < rows) & (cc >= 0) & (cc < cols)
        kk = np.broadcast_to(plane[here][:, None], rr.shape)
        image[kk[near], rr[near], cc[near]] = np.broadcast_to(value[here][:, None], rr.shape)[near]
    return image
