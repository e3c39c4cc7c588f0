"""Anatomy of the heart in short axis: one random chest, drawn as tissue indices and labels at any contraction."""

from dataclasses import dataclass

import numpy as np

from fedfactory.phantoms.grid import Grid, smooth_noise
from fedfactory.phantoms.tissues import HEART_INDEX as T

LV, MYO, RV = 1, 2, 3
PATHOLOGIES = ("NOR", "DCM", "HCM", "ARR", "HHD", "RV", "MINF")  # codes as in the M&Ms table


@dataclass(frozen=True)
class Heart:
    """One subject's chest; lengths in mm, angles in radians, fractions of the long axis from apex (0) to base (1)."""

    pathology: str
    apex: float
    base: float
    centre: tuple[float, float]
    drift: tuple[float, float]
    rotation: float
    cavity: float
    wall: float
    septal: float
    sector: float
    thinning: float
    eccentricity: float
    harmonics: tuple[tuple[float, float], ...]
    rv_width: float
    rv_height: float
    rv_tilt: float
    rv_apex: float
    shortening: float
    fraction: float
    papillary: tuple[float, float, float]
    epicardial_fat: float
    chest_wall: float
    fat_layer: float
    liver: float
    diaphragm: float
    stomach: float
    scar: float


def draw_heart(rng: np.random.Generator, grid: Grid, rotation: float) -> Heart:
    """Draw a random heart whose organ leaves the first and the last slice of the grid empty.

    Args:
        rng: the subject's anatomy stream.
        grid: sampling grid; only its slice positions are used.
        rotation: in-plane rotation of the site's slice prescription, degrees.

    Returns:
        A heart; pathologies change wall, cavities and contraction as in the clinic.
    """
    pathology = PATHOLOGIES[rng.choice(len(PATHOLOGIES), p=(0.3, 0.14, 0.18, 0.1, 0.1, 0.1, 0.08))]
    cavity, wall = rng.uniform(19, 26), rng.uniform(6.5, 10)
    septal, thinning, fraction = rng.uniform(0, 0.15), 1.0, rng.uniform(0.28, 0.42)
    rv_width = rng.uniform(20, 34)
    if pathology == "DCM":
        cavity, wall, fraction = rng.uniform(27, 33), rng.uniform(5, 7), rng.uniform(0.08, 0.2)
    elif pathology in ("HCM", "HHD"):
        cavity, wall = rng.uniform(15, 21), rng.uniform(11, 16)
        septal = rng.uniform(0.15, 0.4) if pathology == "HCM" else rng.uniform(0, 0.1)
        rv_width = rng.uniform(15, 26)
    elif pathology in ("RV", "ARR"):
        rv_width = rng.uniform(34, 46)
    elif pathology == "MINF":
        thinning, fraction = rng.uniform(0.6, 0.75), rng.uniform(0.12, 0.25)
    z, step = grid.z.ravel(), grid.thickness
    apical = 1 + int(grid.slices > 7 and rng.random() < 0.3)
    basal = grid.slices - 2 - int(grid.slices > 7 and rng.random() < 0.3)
    return Heart(
        pathology=pathology,
        apex=float(z[apical] - rng.uniform(0.35, 0.9) * step),
        base=float(z[basal] + rng.uniform(0.3, 0.9) * step),
        centre=(float(rng.normal(8, 7)), float(rng.normal(2, 7))),
        drift=(float(rng.normal(-8, 5)), float(rng.normal(-6, 5))),
        rotation=float(np.deg2rad(rotation + rng.normal(0, 12))),
        cavity=float(cavity),
        wall=float(wall),
        septal=float(septal),
        sector=float(rng.uniform(-np.pi, np.pi)),
        thinning=float(thinning),
        eccentricity=float(rng.uniform(0.9, 1.12)),
        harmonics=tuple((float(rng.normal(0, 0.035)), float(rng.uniform(0, 2 * np.pi))) for _ in range(3)),
        rv_width=float(rv_width),
        rv_height=float(rng.uniform(0.85, 1.2)),
        rv_tilt=float(rng.normal(-0.15, 0.2)),
        rv_apex=float(rng.uniform(0.08, 0.3)),
        shortening=float(rng.uniform(0.3, 1.0) * step),
        fraction=float(fraction),
        papillary=tuple(rng.uniform((0.14, 0.5, 0.3), (0.26, 0.68, 0.7)).tolist()),
        epicardial_fat=float(rng.gamma(1.8, 1.2)),
        chest_wall=float(rng.uniform(44, 64)),
        fat_layer=float(rng.gamma(3, 4.5) + 4),
        liver=float(rng.uniform(30, 50)),
        diaphragm=float(rng.uniform(-0.4, 0.4)),
        stomach=float(rng.uniform(0, 26)),
        scar=float(rng.uniform(0, 1)),
    )


def chest(heart: Heart, grid: Grid, rng: np.random.Generator) -> np.ndarray:
    """Draw what does not beat: lung, chest wall, liver, spleen or stomach, aorta.

    Returns:
        Tissue indices, uint8 (slices, fine rows, fine cols).
    """
    x, y, z = grid.x, grid.y, grid.z
    s = (z - heart.apex) / (heart.base - heart.apex)
    tissue = np.full(grid.shape, T["lung"], np.uint8)
    wobble = 3 * smooth_noise(rng, grid.shape, (1.5, 3, 3))
    speck = smooth_noise(rng, grid.shape, (grid.slices, 18, 18))
    tissue[speck > 2.1] = T["blood"]  # pulmonary vessels
    slope = heart.diaphragm * 0.25
    below = y - (heart.liver + slope * x + 14 * (s - 0.4) + 0.004 * (x + 25) ** 2) + wobble
    tissue[below > 0] = T["liver"]
    tissue[(below > 6) & (speck > 1.8)] = T["blood"]
    spleen = np.hypot((x - 55) / 30, (y - heart.liver - 4 - 20 * (s - 0.5)) / 24) + 0.02 * wobble
    tissue[(spleen < 1) & (s < 0.7)] = T["spleen"]
    if heart.stomach > 8:
        gas = np.hypot((x - 30) / heart.stomach, (y - heart.liver - 12) / (0.7 * heart.stomach)) + 0.02 * wobble
        tissue[(gas < 1.12) & (s < 0.6)] = T["stomach"]
        tissue[(gas < 0.85) & (s < 0.6)] = T["air"]
    aorta = np.hypot(x - 62, y - 38 + 10 * (s - 0.5))
    tissue[np.broadcast_to(aorta < 13, grid.shape)] = T["myocardium"]
    tissue[np.broadcast_to(aorta < 11.5, grid.shape)] = T["blood"]
    inside = y + heart.chest_wall - 0.004 * (x - 5) ** 2 + 6 * (s - 0.5) + 0.5 * wobble  # mm below the pleura
    tissue[inside < 0] = T["muscle"]
    ribs = (np.abs(np.sin((x + 4 * wobble) / 13 + 2.5 * s)) < 0.45) & (inside < -3) & (inside > -10)
    tissue[ribs] = T["bone"]
    tissue[inside < -13] = T["fat"]
    tissue[inside < -13 - heart.fat_layer] = T["air"]
    return tissue


def beat(heart: Heart, grid: Grid, background: np.ndarray, contraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Draw the heart into a chest at one moment of the cycle.

    Walls keep their area while the cavity shrinks (incompressible myocardium), and the base moves to the apex.

    Args:
        heart: the subject.
        grid: sampling grid.
        background: tissue indices of ``chest``; not changed.
        contraction: 0 at end diastole, 1 at end systole.

    Returns:
        Tissue indices and labels (1 LV, 2 MYO, 3 RV), uint8 (slices, fine rows, fine cols).
    """
    base = heart.base - contraction * heart.shortening
    s = (grid.z - heart.apex) / (base - heart.apex)
    at = np.clip(s, 0, 1)
    dx = grid.x - heart.centre[0] - heart.drift[0] * (at - 0.5)
    dy = grid.y - heart.centre[1] - heart.drift[1] * (at - 0.5)
    cos, sin = np.cos(heart.rotation), np.sin(heart.rotation)
    u, v = (cos * dx + sin * dy).astype(np.float32), (cos * dy - sin * dx).astype(np.float32)
    angle = np.arctan2(v, u)
    rho = np.hypot(u, v * heart.eccentricity)
    for k, (size, offset) in enumerate(heart.harmonics, start=2):
        rho = rho * (1 + size * np.cos(k * angle + offset))

    taper = np.sqrt(1 - (1 - at) ** 2.4)
    inner, outer = _walls(heart, taper, angle, contraction)
    tissue, label = background.copy(), np.zeros_like(background)
    organ = (s >= 0) & (s <= 1)

    fat = heart.epicardial_fat * (1 + 0.6 * np.cos(angle - 2.6))
    tissue[organ & (rho < outer + fat)] = T["fat"]
    right = _right_ventricle(heart, at, u, v, outer, contraction)
    has_rv = organ & (at > heart.rv_apex)
    tissue[has_rv & (right < 5 + 0.8 * fat)] = T["fat"]
    tissue[has_rv & (right < 3)] = T["myocardium"]
    chamber = has_rv & (right < 0) & (rho >= outer)
    tissue[chamber] = T["blood"]
    label[chamber] = RV

    wall = organ & (rho < outer)
    tissue[wall] = T["myocardium"]
    label[wall] = MYO
    if heart.scar < 0.35:
        sector = np.cos(angle - heart.sector) > 0.75
        tissue[wall & sector & (rho < 0.5 * (inner + outer)) & (at < 0.75)] = T["scar"]
    cavity = organ & (rho < inner)
    tissue[cavity] = T["blood"]
    label[cavity] = LV
    _papillary(heart, tissue, cavity, u, v, at, inner)
    _atria(heart, tissue, grid, s, u, v)
    return tissue, label


def _walls(heart: Heart, taper: np.ndarray, angle: np.ndarray, contraction: float) -> tuple[np.ndarray, np.ndarray]:
    """Endo- and epicardial radius in mm by slice and angle."""
    wall = heart.wall * (0.75 + 0.25 * taper)
    inner = heart.cavity * taper
    shrunk = np.maximum(inner * (1 - heart.fraction * contraction), 4.5 * np.minimum(1, taper * 1.5))
    # Shortening adds a tenth to the wall's area.
    outer = np.sqrt(shrunk**2 + ((inner + wall) ** 2 - inner**2) * (1 + 0.1 * contraction))
    swelling = heart.septal * heart.wall * (1 + np.cos(angle - np.pi)) / 2
    thickness = (outer - shrunk) * (1 - (1 - heart.thinning) * (np.cos(angle - heart.sector) > 0.4))
    return shrunk, shrunk + thickness + swelling


def _right_ventricle(
    heart: Heart, at: np.ndarray, u: np.ndarray, v: np.ndarray, outer: np.ndarray, contraction: float
) -> np.ndarray:
    """Return about the distance in mm outside the right ventricle's free wall (negative within)."""
    along = np.clip((at - heart.rv_apex) / (1 - heart.rv_apex), 0, 1)
    scale = np.sqrt(1 - (1 - along) ** 2)
    reach = outer.mean(axis=(1, 2), keepdims=True)
    width = (0.75 * reach + heart.rv_width * (1 - 0.6 * heart.fraction * contraction)) * scale / 1.45
    height = heart.rv_height * (0.9 * reach + 0.12 * heart.rv_width) * (0.35 + 0.65 * scale)
    cos, sin = np.cos(heart.rv_tilt), np.sin(heart.rv_tilt)
    p, q = u + 0.75 * reach, v + 2
    p, q = cos * p + sin * q, cos * q - sin * p
    # A blunt crescent: the free wall bulges more towards the outflow (anterior, above).
    width = np.maximum(width * (1 - 0.15 * np.clip(q / np.maximum(height, 1), -1, 1)), 1)
    radius = np.hypot(p / width, q / np.maximum(height, 1))
    return (radius - 1) * np.minimum(width, height)


def _papillary(
    heart: Heart,
    tissue: np.ndarray,
    cavity: np.ndarray,
    u: np.ndarray,
    v: np.ndarray,
    at: np.ndarray,
    inner: np.ndarray,
) -> None:
    """Draw two papillary muscles into the blood pool; they stay labelled LV, as in M&Ms."""
    size, place, top = heart.papillary
    for side in (0.9, 2.4):
        angle = side + 0.3 * (heart.eccentricity - 1)
        muscle = np.hypot(u - place * inner * np.cos(angle), v - place * inner * np.sin(angle)) < size * inner
        tissue[cavity & muscle & (at > 0.15) & (at < 0.35 + 0.4 * top)] = T["myocardium"]


def _atria(heart: Heart, tissue: np.ndarray, grid: Grid, s: np.ndarray, u: np.ndarray, v: np.ndarray) -> None:
    """Draw atria and the outflow tracts above the base: blood that carries no label."""
    beyond = (s > 1) & np.ones(grid.shape, bool)
    left = np.hypot((u - 4) / (heart.cavity * 1.15), (v - 8) / (heart.cavity * 0.95))
    right = np.hypot((u + heart.cavity * 1.9) / 24, (v - 6) / 26)
    outflow = np.hypot(u + heart.cavity * 0.8, v + heart.cavity * 1.1) / 14
    nearest = np.minimum(np.minimum(left, right), outflow)
    tissue[beyond & (nearest < 1.12)] = T["fat"]
    tissue[beyond & (nearest < 1)] = T["blood"]
