"""Amplitude spectra of low frequencies: what FedDG's clients exchange, and how images take on another's look."""

from __future__ import annotations

from typing import Any

import numpy as np

from fedfactory.errors import FedFactoryError


def half_width(size: int, share: float) -> int:
    """Half the width b of the window: floor(size * share), at least 1.

    Args:
        size: edge S of the images.
        share: L of the paper; the window holds frequencies -b..b along both axes.

    Raises:
        FedFactoryError: a share so small that only the mean would be exchanged, or a window larger than the spectrum.
    """
    b = int(size * share)
    if not 1 <= b <= (size - 1) // 2:
        raise FedFactoryError(
            f"a window of {share} of the spectrum is {b} frequencies wide at {size} pixels; give at least "
            f"{1 / size:.4f} and less than 0.5"
        )
    return b


def low_amplitudes(images: np.ndarray, b: int) -> np.ndarray:
    """Amplitudes of the low frequencies of images: all that leaves a client besides the model.

    Args:
        images: (n, S, S).
        b: half the width of the window.

    Returns:
        (n, 2 b + 1, 2 b + 1) float32, frequency zero in the middle.
    """
    spectrum = np.fft.fftshift(np.fft.fft2(images, axes=(-2, -1)), axes=(-2, -1))
    return np.abs(spectrum[_window(images.shape[-1], b)]).astype(np.float32)


def mixed(images: np.ndarray, amplitudes: np.ndarray, ratios: np.ndarray) -> np.ndarray:
    """Images whose low-frequency amplitudes are interpolated towards others'; their phase, and with it anatomy, stays.

    Args:
        images: (n, S, S).
        amplitudes: of other images, (n, 2 b + 1, 2 b + 1) as :func:`low_amplitudes` gives them.
        ratios: (n,) in [0, 1]: lambda of the paper, the share of the other amplitudes; 0 leaves an image as it is.

    Returns:
        (n, S, S) float32.
    """
    b = (amplitudes.shape[-1] - 1) // 2
    spectrum = np.fft.fftshift(np.fft.fft2(images, axes=(-2, -1)), axes=(-2, -1))
    window = _window(images.shape[-1], b)
    own, phase, share = np.abs(spectrum[window]), np.angle(spectrum[window]), ratios[:, None, None]
    spectrum[window] = ((1 - share) * own + share * amplitudes) * np.exp(1j * phase)
    return np.fft.ifft2(np.fft.ifftshift(spectrum, axes=(-2, -1)), axes=(-2, -1)).real.astype(np.float32)


def _window(size: int, b: int) -> tuple[Any, ...]:
    middle = size // 2
    part = slice(middle - b, middle + b + 1)
    return (..., part, part)
