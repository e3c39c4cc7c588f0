"""Whether a factory repeats the slices that it was trained on.

A factory is shared so that images need not be. It keeps that promise only if what it draws lies no nearer to the
slices that trained it than to slices of the same site that did not. Two questions are asked at each client, of whose
validation subjects the factory has never seen anything:

- *On the whole*: do training subjects lie nearer to what is drawn than held-out subjects do? The distance of each
  slice to the nearest drawn one is divided by its usual one, to the nearest slice of another subject, so that unusual
  subjects do not look held out. Subjects change places in an exact permutation test, one-sided: if nothing was learned
  by heart, held-out subjects are subjects like all others.
- *Single ones*: is a drawn slice nearer to a training slice than half of that slice's usual distance?

Distances are asked in pixels and in a feature space (the encoder of the keys), each up to what training does to images:
its deformed copies, and flips where it flips.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations
from math import comb

import numpy as np

MOST_GROUPS = 2000
"""Groups of subjects that are looked at; beyond that so many are drawn."""
LEVEL = 0.05
"""Of the test: a factory passes with a larger p."""
_NEAR = 0.5

Space = Callable[[np.ndarray], np.ndarray]
"""Slices (n, S, S) -> vectors (n, d) of length 1, whose inner product says how alike two slices are."""


@dataclass(frozen=True)
class Memorisation:
    """What was found at one client in one space; distances are those of vectors of length 1, in [0, 2].

    Attributes:
        training: mean distance of a generated slice to the nearest slice of as many training subjects as are held out,
            averaged over such groups.
        held_out: the same to the held-out subjects.
        p: of the permutation test.
        least_p: the least that it can be with so many subjects.
        copies: how many generated slices are nearer to a training slice than half of that slice's usual distance.
        count: of generated slices.
        nearest: for each generated slice the place of the nearest training slice, without its copies.
        distances: to it.
        members: for each training slice the distance to the nearest generated one.
        others: the same for each held-out slice.
    """

    training: float
    held_out: float
    p: float
    least_p: float
    copies: int
    count: int
    nearest: np.ndarray
    distances: np.ndarray
    members: np.ndarray
    others: np.ndarray

    @property
    def passes(self) -> bool:
        """Whether nothing says that the factory repeats training slices."""
        return self.p > LEVEL and not self.copies


def pixels(images: np.ndarray) -> np.ndarray:
    """Slices as vectors of grey values, without their mean."""
    flat = images.reshape(len(images), -1).astype(np.float64)
    flat -= flat.mean(1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)


def memorisation(
    found: np.ndarray,
    training: np.ndarray,
    held_out: np.ndarray,
    subjects: tuple[Sequence[str], Sequence[str]],
    space: Space,
    *,
    flip: bool,
    seed: int,
) -> Memorisation:
    """Compare generated slices with the slices that trained a factory, and with those that did not.

    Args:
        found: generated slices, (n, S, S).
        training: training slices and their deformed copies, (copies, m, S, S); the first are the slices as they are.
        held_out: the same of held-out subjects, with as many copies, (copies, h, S, S).
        subjects: the subject of each training slice (m,) and of each held-out slice (h,).
        space: where distances are taken.
        flip: whether training flips images from left to right.
        seed: of the groups, where there are too many to look at all.

    Raises:
        ValueError: a subject on both sides, or numbers that do not fit.
    """
    own, others = (np.asarray(names) for names in subjects)
    if len(training) != len(held_out) or training.shape[1] != len(own) or held_out.shape[1] != len(others):
        raise ValueError("copies of both sides, slices and names of subjects must be as many")
    names, kept = sorted(set(own)), sorted(set(others))
    if not names or not kept or set(names) & set(kept):
        raise ValueError("training and held-out subjects must be there, and different ones")
    copies = np.stack([space(np.concatenate(both)) for both in zip(training, held_out, strict=True)])
    to_real = _nearest(_turned(found, space, flip), copies)
    to_training, to_held_out = to_real[:, : len(own)], to_real[:, len(own) :]
    everybody = np.concatenate([own, others])
    between = _nearest(_turned(np.concatenate([training[0], held_out[0]]), space, flip), copies)
    between[everybody[:, None] == everybody[None]] = np.inf
    members, kept_apart = to_training.min(0), to_held_out.min(0)
    usual = np.maximum(between.min(1), 1e-12)
    ratios = np.concatenate([members, kept_apart]) / usual
    scores = np.array([ratios[everybody == name].mean() for name in (*names, *kept)])
    held = tuple(range(len(names), len(scores)))
    groups = [held, *(group for group in _groups(len(scores), len(held), seed) if group != held)]
    by_group = np.array([scores[list(group)].mean() for group in groups])
    each = np.stack([to_training[:, own == name].min(1) for name in names])
    as_many = _groups(len(names), min(len(kept), len(names)), seed)
    nearest = to_training.argmin(1)
    distances = to_training[np.arange(len(found)), nearest]
    return Memorisation(
        training=float(np.mean([each[list(group)].min(0).mean() for group in as_many])),
        held_out=float(to_held_out.min(1).mean()),
        p=float((by_group >= by_group[0] - 1e-12).mean()),
        least_p=1 / len(groups),
        copies=int((distances < _NEAR * usual[nearest]).sum()),
        count=len(found),
        nearest=nearest,
        distances=distances,
        members=members,
        others=kept_apart,
    )


def _groups(count: int, size: int, seed: int) -> list[tuple[int, ...]]:
    """Groups of so many out of ``count`` subjects: all of them, or some that are drawn."""
    if comb(count, size) <= MOST_GROUPS:
        return list(combinations(range(count), size))
    stream = np.random.default_rng(seed)
    return [tuple(stream.choice(count, size, replace=False).tolist()) for _ in range(MOST_GROUPS)]


def _turned(images: np.ndarray, space: Space, flip: bool) -> list[np.ndarray]:
    """Vectors of slices as they are, and, if asked for, turned over."""
    return [space(np.ascontiguousarray(part)) for part in (images, images[:, :, ::-1])[: 1 + flip]]


def _nearest(found: Sequence[np.ndarray], copies: np.ndarray) -> np.ndarray:
    """Distance (n, m) of slices, given as they are and turned over, to others: to the nearest of their copies."""
    alike = reduce(np.maximum, (vectors @ copy.T for vectors in found for copy in copies))
    return np.sqrt(np.maximum(0.0, 2 - 2 * alike))
