"""Anatomy of the head in axial slices: one random head, drawn as tissue indices and a brain mask."""

from dataclasses import dataclass

import numpy as np

from fedfactory.phantoms.grid import Grid, ellipsoid, smooth_noise
from fedfactory.phantoms.tissues import HEAD_INDEX as T


@dataclass(frozen=True)
class Head:
    """One subject's head; lengths in mm, angles in radians. Axes: x to the left, y to the back, z upwards."""

    shift: tuple[float, float, float]
    tilt: tuple[float, float, float]
    semi: tuple[float, float, float]
    harmonics: tuple[tuple[float, float, float], ...]
    atrophy: float
    gap: float
    skull: float
    scalp: float
    muscle: float
    ventricle: float
    asymmetry: float
    orbit: float
    sinus: float
    lesions: tuple[tuple[float, float, float, float], ...]
    tumour: tuple[float, float, float, float] | None
    face: float


def draw_head(rng: np.random.Generator) -> Head:
    """Draw a random head: size, shape, tilt, atrophy, ventricles, skull, scalp, white-matter lesions, tumour."""
    atrophy = float(rng.beta(1.3, 2.2))
    semi = rng.normal((66, 83, 62), (3.5, 4.5, 2.5)) * rng.normal(1, 0.035)
    semi[2] = min(semi[2], 67)
    lesions = rng.uniform((-34, -50, 0, 2), (34, 50, 32, 4 + 5 * atrophy), (int(rng.poisson(1 + 5 * atrophy)), 4))
    tumour = rng.uniform((-40, -50, -15, 8), (40, 50, 35, 20)) if rng.random() < 0.2 else None
    return Head(
        shift=tuple(rng.normal(0, (5, 6, 2)).clip((-12, -12, -4), (12, 12, 4)).tolist()),
        tilt=tuple(np.deg2rad(rng.normal(0, (7, 3.5, 5)).clip(-15, 15)).tolist()),
        semi=tuple(semi.tolist()),
        harmonics=tuple((float(rng.normal(0, 0.014)), *rng.uniform((0, -0.03), (6.28, 0.03))) for _ in range(4)),
        atrophy=atrophy,
        gap=float(1.5 + 7 * atrophy * rng.uniform(0.5, 1)),
        skull=float(rng.uniform(5.5, 10)),
        scalp=float(rng.gamma(4, 1.3) + 2.5),
        muscle=float(rng.uniform(3, 11)),
        ventricle=float(0.7 + 0.9 * atrophy + rng.gamma(2, 0.12)),
        asymmetry=float(rng.normal(0, 0.12)),
        orbit=float(rng.uniform(10.5, 13)),
        sinus=float(rng.uniform(0.6, 1.3)),
        lesions=tuple(map(tuple, lesions.tolist())),
        tumour=None if tumour is None else tuple(tumour.tolist()),
        face=float(rng.uniform(0.9, 1.12)),
    )


def draw_tissue(
    head: Head, grid: Grid, rng: np.random.Generator, *, head_rest: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a head as tissue indices and its brain mask.

    The mask is the brain with its ventricles and sulci, without the cerebrospinal fluid between brain and skull.

    Args:
        head: the subject.
        grid: sampling grid; z = 0 lies at the middle of the brain.
        rng: stream of cortical folding and other texture of anatomy.
        head_rest: add the scanner's head rest below the head (CT).

    Returns:
        Tissue indices and brain mask (0 or 1), uint8 (slices, fine rows, fine cols).
    """
    x, y, z = _upright(head, grid)
    depth = _brain_depth(head, x, y, z)
    fold = smooth_noise(rng, grid.shape, (grid.slices * 0.8, *(n * grid.step / 8.5 for n in grid.shape[1:])))
    tissue = _shell(head, grid, x, y, z, depth, fold)
    brain = depth < 0
    _brain(head, tissue, brain, x, y, z, depth, fold)
    if head_rest:
        rest = np.hypot(grid.x, (grid.y - 10) * 0.95)
        arc = (rest > 104) & (rest < 109) & (grid.y > 35)
        tissue[arc & (tissue == T["air"])] = T["rest"]
    return tissue, brain.astype(np.uint8)


def _upright(head: Head, grid: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coordinates in the head's own frame: shift, then pitch about x, roll about y and yaw about z."""
    x, y, z = (c - s for c, s in zip((grid.x, grid.y, grid.z), head.shift, strict=True))
    pitch, roll, yaw = head.tilt
    x, y = np.cos(yaw) * x - np.sin(yaw) * y, np.sin(yaw) * x + np.cos(yaw) * y
    y, z = np.cos(pitch) * y - np.sin(pitch) * z, np.sin(pitch) * y + np.cos(pitch) * z
    x, z = np.cos(roll) * x - np.sin(roll) * z, np.sin(roll) * x + np.cos(roll) * z
    right, front, top = (np.broadcast_to(c, grid.shape).astype(np.float32) for c in (x, y, z))
    return right, front, top


def _brain_depth(head: Head, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """About the distance in mm outside the brain surface (negative inside): cerebrum, temporal lobes, hindbrain."""
    a, b, c = head.semi
    angle = np.arctan2(y, x)
    shape = 1.0
    for k, (size, offset, twist) in enumerate(head.harmonics, start=2):
        shape = shape + size * np.cos(k * angle + offset + twist * z)
    lower = np.where(z < 0, np.float32(0.62), np.float32(1))  # the skull base is flatter than the vault
    cerebrum = (np.hypot(np.hypot(x / a, y / b), z / (c * lower)) / shape - 1) * 0.5 * (a + c)
    side = np.abs(x)
    temporal = (ellipsoid(side, y, z, (0.56 * a, -8, -30), (0.34 * a, 34, 21)) - 1) * 20
    cerebellum = (ellipsoid(side, y, z, (16, 0.52 * b, -38), (32, 30, 22)) - 1) * 23
    stem = np.maximum(np.hypot(x / 1.15, y - 16 + 0.15 * z) - 13, np.maximum(z + 10, -74 - z))
    return np.minimum(np.minimum(cerebrum, temporal), np.minimum(cerebellum, stem))


def _shell(
    head: Head, grid: Grid, x: np.ndarray, y: np.ndarray, z: np.ndarray, depth: np.ndarray, fold: np.ndarray
) -> np.ndarray:
    """Draw everything outside the brain, from the skin inwards."""
    a, b, _ = head.semi
    side, width = np.abs(x), 0.9 * a * head.face
    inner = head.gap * (1 + 0.35 * (y < -30))  # frontal atrophy
    table = inner + 1.5 + head.skull
    soft = table + head.scalp
    temporalis = head.muscle * np.exp(-(((y + 15) / 30) ** 2) - ((z + 18) / 28) ** 2) * (side > 0.6 * a)
    face = (ellipsoid(x, y, z, (0, -0.42 * b, -62), (width, 0.66 * b, 62)) - 1) * 50
    neck = np.maximum(np.hypot(x / 1.05, y - 18) - 0.88 * a, z + 30)
    # Blend the vault into face and neck above the skull base only by their union.
    outside = np.minimum(depth - soft - temporalis, np.minimum(face, neck))
    tissue = np.full(grid.shape, T["air"], np.uint8)
    tissue[outside < 0] = T["skin"]
    tissue[outside < -1.8] = T["fat"]
    low = np.minimum(face, neck) < -3 - 0.7 * head.scalp
    tissue[low] = np.where(fold[low] > 1.5, T["fat"], T["muscle"])
    tissue[depth < table + temporalis] = T["muscle"]
    tissue[depth < table] = T["bone"]
    core = (depth > inner + 1.5 + 0.3 * head.skull) & (depth < inner + 1.5 + 0.72 * head.skull)
    tissue[core] = T["marrow"]
    _face(head, tissue, x, y, z, side, depth, table)
    tissue[depth < inner + 1.5] = T["dura"]
    tissue[depth < inner] = T["csf"]
    falx = (side < 1.3) & (depth < inner) & (z > 0)
    tissue[falx] = T["dura"]
    return tissue


def _face(
    head: Head,
    tissue: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    z: np.ndarray,
    side: np.ndarray,
    depth: np.ndarray,
    table: np.ndarray,
) -> None:
    """Draw skull base, orbits with globes, nasal cavity, sinuses, mastoids, jaw and glands."""
    b = head.semi[1]
    front = -0.80 * b
    base = (depth > 0) & (depth < table + 4) & (z < -14)
    tissue[base & (ellipsoid(side, y, z, (36, 14, -46), (26, 11, 12)) < 1)] = T["bone"]  # petrous
    mastoid = ellipsoid(side, y, z, (56, 30, -46), (13 * head.sinus, 17, 15)) < 1
    tissue[(depth > 0) & mastoid] = T["air"]
    cone = ellipsoid(side, y, z, (31, front + 8, -30), (19, 27, 17))
    tissue[(depth > 2) & (cone < 1.12)] = T["bone"]
    tissue[(depth > 1) & (cone < 1)] = T["fat"]
    globe = ellipsoid(side, y, z, (31, front - 6, -30), (head.orbit,) * 3)
    nerve = (np.hypot(side - 31 + 0.35 * (y - front), z + 30) < 2.6) & (y > front) & (y < front + 26)
    tissue[(depth > 1) & nerve & (cone < 1)] = T["white"]
    rectus = (np.abs(np.abs(side - 31) - 9) < 1.8) & (np.abs(z + 30) < 9) & (cone < 0.9)
    tissue[(depth > 1) & rectus] = T["muscle"]
    tissue[(depth > 0) & (globe < 1.12)] = T["skin"]
    tissue[(depth > 0) & (globe < 1)] = T["vitreous"]
    nose = ellipsoid(side, y, z, (5, front + 16, -50), (9 * head.sinus, 30, 26))
    tissue[(depth > 1) & (nose < 1.25)] = T["gland"]
    tissue[(depth > 1) & (nose < 1)] = T["air"]
    maxilla = ellipsoid(side, y, z, (25, front + 14, -60), (14 * head.sinus, 18, 15))
    tissue[(depth > 1) & (maxilla < 1.15)] = T["bone"]
    tissue[(depth > 1) & (maxilla < 1)] = T["air"]
    frontal = ellipsoid(side, y, z, (9, -b - head.gap - 4, -8), (16 * head.sinus, 5, 12))
    tissue[(depth > head.gap + 2) & (frontal < 1)] = T["air"]
    tissue[(z < -58) & (np.hypot(x / 0.8, y - 6) < 13)] = T["air"]  # pharynx
    arch = np.hypot(x / 0.85, y - front - 26) * (y < front + 24)
    tissue[(depth > 4) & (np.abs(z + 78) < 11) & (np.abs(arch - 24) < 5)] = T["tooth"]
    tissue[(depth > 4) & (ellipsoid(side, y, z, (54, 6, -74), (14, 18, 20)) < 1)] = T["gland"]  # parotid
    tissue[(depth > 4) & (z < -60) & (np.abs(side - 46) < 5) & (np.abs(y + 18) < 16)] = T["marrow"]  # mandible


def _brain(
    head: Head,
    tissue: np.ndarray,
    brain: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    z: np.ndarray,
    depth: np.ndarray,
    fold: np.ndarray,
) -> None:
    """Draw cortex with sulci, white matter, deep grey matter, ventricles, lesions and tumour into the brain."""
    tissue[brain] = T["grey"]
    tissue[brain & (depth < -4.5 - 4.5 * np.clip(fold, -0.6, 1.4))] = T["white"]
    hind = brain & (z < -24) & (y > 8)
    tissue[hind & (tissue == T["grey"])] = T["cerebellum"]
    sulcus = (fold > 1.15 - 0.9 * head.atrophy) & (depth > -4 - 9 * head.atrophy)
    tissue[brain & sulcus & (z > -32)] = T["csf"]
    tissue[brain & (np.abs(x) < 0.8 + 2.2 * head.atrophy) & (z > 18) & (depth > -30)] = T["csf"]  # fissure
    side, grow = np.abs(x), head.ventricle * (1 + head.asymmetry * np.sign(x))
    deep = ellipsoid(side, y, z, (13, 8, 4), (8, 13, 9)) < 1  # thalamus
    deep |= ellipsoid(side, y, z, (24, -8, 4), (6, 17, 10)) < 1  # putamen
    tissue[brain & deep] = T["deep_grey"]
    for px, py, pz, size in head.lesions:
        spot = np.hypot(np.hypot(x - px, y - py), (z - pz) / 2.5) + 1.5 * fold < size
        tissue[spot & (tissue == T["white"])] = T["lesion"]
    if head.tumour is not None:
        px, py, pz, size = head.tumour
        mass = np.hypot(np.hypot(x - px, y - py), z - pz) + 2.5 * fold
        tissue[brain & (mass < 1.5 * size)] = T["lesion"]
        tissue[brain & (mass < size)] = T["tumour"]
        tissue[brain & (mass < 0.45 * size)] = T["csf"]  # necrosis
    bend = side - 9 - 0.004 * (y - 5) ** 2 - 3 * (y > 25)
    lateral = np.hypot(np.hypot(bend / (6 * grow), (y - 2) / (37 + 6 * grow)), (z - 17) / (7.5 * grow + 2))
    horn = ellipsoid(side, y, z, (33, 10, -16), (5 * 1.0, 14, 5)) / grow
    third = np.maximum(side - 1.4 * grow, np.hypot(y - 2, z - 2) - 13)
    fourth = ellipsoid(x, y, z, (0, 34, -38), (7, 5, 9)) / np.sqrt(grow)
    fluid = (lateral < 1) | (horn < 1) | (third < 0) | (fourth < 1)
    tissue[brain & fluid] = T["csf"]
    plexus = ellipsoid(side, y, z, (17, 28, 14), (3.5, 5, 5)) < 1
    pineal = ellipsoid(x, y, z, (0, 27, 2), (3, 3, 4)) < 1
    tissue[brain & (plexus | pineal)] = T["calcium"]
