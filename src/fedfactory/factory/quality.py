"""How good a factory is, in figures that need no downloaded network.

*Closeness*: sliced Wasserstein distance between patches of generated and of real images on a Laplacian pyramid (Rabin
et al., SSVM 2011; Karras et al., ICLR 2018). *Alignment*: normalised mutual information (Studholme et al., Pattern
Recognition 1999) of one z rendered as two clients, minus the same for two different z at one slice position: above zero
if z keeps its anatomy. *Variety*: how much images of one slice position differ, in shares of what real ones do.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from skimage.metrics import normalized_mutual_information

_PATCH = 7
_PATCHES_PER_IMAGE = 96
_DIRECTIONS = 256
_SMALLEST_LEVEL = 16
_INFORMATION_BINS = 24


def sliced_wasserstein(found: np.ndarray, real: np.ndarray, seed: int = 0) -> float:
    """Sliced Wasserstein-1 distance between the patches of two sets of images.

    Args:
        found: (N, S, S) float32 in [-1, 1].
        real: (N, S, S), as many images as ``found``: the distance of finite sets shrinks with their size.
        seed: of patches and directions.

    Returns:
        The mean over pyramid levels S, S / 2, ... down to 16 pixels, in thousandths of the real patches' standard
        deviation; 0 for the same set.

    Raises:
        ValueError: sets of different shapes.
    """
    if found.shape != real.shape:
        raise ValueError(f"sets of images of shapes {found.shape} and {real.shape} cannot be compared")
    stream = np.random.default_rng(seed)
    levels = zip(_pyramid(found), _pyramid(real), strict=True)
    return float(np.mean([_level_distance(a, b, stream) for a, b in levels]) * 1000)


def _level_distance(found: np.ndarray, real: np.ndarray, stream: np.random.Generator) -> float:
    corners = stream.integers(0, real.shape[-1] - _PATCH + 1, (len(real), _PATCHES_PER_IMAGE, 2))
    a, b = _patches(found, corners), _patches(real, corners)
    scale = b.std() + 1e-8
    directions = stream.standard_normal((_PATCH**2, _DIRECTIONS)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=0)
    return float(np.abs(np.sort(a @ directions, axis=0) - np.sort(b @ directions, axis=0)).mean() / scale)


def _patches(images: np.ndarray, corners: np.ndarray) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(images, (_PATCH, _PATCH), (1, 2))
    picked = windows[np.arange(len(images))[:, None], corners[..., 0], corners[..., 1]]
    return picked.reshape(-1, _PATCH**2)


def _pyramid(images: np.ndarray) -> list[np.ndarray]:
    """Laplacian pyramid: what each halving loses, and the smallest image."""
    levels, current = [], images.astype(np.float32)
    while current.shape[-1] > _SMALLEST_LEVEL:
        small = ndimage.gaussian_filter(current, (0, 1, 1))[:, ::2, ::2]
        levels.append(current - small.repeat(2, 1).repeat(2, 2))
        current = small
    return [*levels, current]


def alignment(first: np.ndarray, second: np.ndarray, shifted: np.ndarray) -> tuple[float, float]:
    """How much of the anatomy two clients' renderings of one z share.

    Args:
        first: (N, S, S), z_i rendered as one client.
        second: (N, S, S), z_i rendered as another client at the same slice position.
        shifted: (N, S, S), another z rendered as that other client at the same slice position.

    Returns:
        Mean over i of the normalised mutual information of (first, second) minus that of (first, shifted), and the
        standard error of that mean. The information lies in [1, 2].
    """
    gains = [_information(a, b) - _information(a, c) for a, b, c in zip(first, second, shifted, strict=True)]
    return float(np.mean(gains)), float(np.std(gains, ddof=1) / np.sqrt(len(gains)))


def _information(a: np.ndarray, b: np.ndarray) -> float:
    if a.std() == 0 or b.std() == 0:
        return 1.0
    return float(normalized_mutual_information(a, b, bins=_INFORMATION_BINS))


def variety(found: np.ndarray, real: np.ndarray) -> float:
    """How much generated images of one slice position differ from each other, beside real ones.

    Args:
        found: (N, S, S), several z at one slice position.
        real: (M, S, S), real slices near that position.

    Returns:
        Mean over the pixels of the standard deviation of ``found``, divided by that of ``real``: 0 if z is ignored,
        about 1 if shapes vary as real ones do, nan for a single real slice.
    """
    spread = float(real.std(0).mean())
    return float(found.std(0).mean()) / spread if spread > 0 else float("nan")


def spread_positions(bins: int, count: int) -> Sequence[int]:
    """Slice positions that cover the organ evenly."""
    return [int(position) for position in np.linspace(0, bins - 1, count).round()]
