"""From an ideal signal on the fine raster to the numbers a scanner stores: blur, coils, noise, sampling."""

import numpy as np

from fedfactory.phantoms.grid import Grid, psf, smooth_noise


def bias_field(rng: np.random.Generator, shape: tuple[int, int, int], strength: float, anterior: float) -> np.ndarray:
    """Receive-coil sensitivity, smooth and positive, mean about 1.

    Args:
        rng: stream to draw from.
        shape: (slices, rows, cols) in voxels.
        strength: standard deviation of the smooth random part of the log sensitivity.
        anterior: fall of the log sensitivity from the anterior edge to the posterior one (surface array).

    Returns:
        Float32 array of the given shape.
    """
    log = strength * smooth_noise(rng, shape, (1.0, 1.5, 1.5))
    log -= anterior * np.linspace(-0.5, 0.5, shape[1], dtype=np.float32)[None, :, None]
    return np.exp(log)


def rician(rng: np.random.Generator, signal: np.ndarray, sigma: float) -> np.ndarray:
    """Magnitude of a complex signal with Gaussian noise of deviation sigma per channel (Gudbjartsson and Patz 1995)."""
    real = signal + sigma * rng.standard_normal(signal.shape, dtype=np.float32)
    imaginary = sigma * rng.standard_normal(signal.shape, dtype=np.float32)
    return np.hypot(real, imaginary)


def magnitude_image(
    rng: np.random.Generator,
    fine: np.ndarray,
    grid: Grid,
    *,
    fwhm: float,
    noise: float,
    bias: np.ndarray,
    gain: float,
) -> np.ndarray:
    """Blur, sample, shade, add Rician noise and scale an MR signal.

    Args:
        rng: stream of the noise.
        fine: (slices, fine rows, fine cols), noise-free signal.
        grid: the raster of ``fine``.
        fwhm: in-plane point spread in mm.
        noise: noise deviation as a fraction of the 99th percentile of the noise-free image.
        bias: (slices, rows, cols) coil sensitivity.
        gain: stored value of that percentile.

    Returns:
        (slices, rows, cols) int16.
    """
    image = grid.to_voxels(psf(fine, fwhm, grid.step)) * bias
    # Order statistics by partition: the same value on every machine, unlike an interpolated percentile of sums.
    flat = image.ravel()
    rank = int(0.99 * (flat.size - 1))
    image = image / max(float(np.partition(flat, rank)[rank]), 1e-6)
    return np.clip(np.rint(rician(rng, image, noise) * gain), 0, 32767).astype(np.int16)


def ct_image(rng: np.random.Generator, fine: np.ndarray, grid: Grid, *, fwhm: float, noise_hu: float) -> np.ndarray:
    """Blur, sample and add Gaussian quantum noise to a map of Hounsfield units; int16, clipped at -1024 and 3071."""
    image = grid.to_voxels(psf(fine, fwhm, grid.step))
    image = image + noise_hu * rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(np.rint(image), -1024, 3071).astype(np.int16)


def pet_image(rng: np.random.Generator, fine: np.ndarray, grid: Grid, *, fwhm: float, counts: float) -> np.ndarray:
    """Blur in three dimensions, sample, count (Poisson, ``counts`` per voxel and SUV) and post-filter; float32 SUV.

    The post-filter has half the width of the point spread, which correlates the noise as a reconstruction does.
    """
    image = grid.to_voxels(psf(fine, fwhm, grid.step, axial=(fwhm, grid.thickness)))
    noisy = rng.poisson(np.maximum(image, 0) * counts + 0.02 * counts).astype(np.float32) / counts
    return psf(noisy, fwhm / 2, grid.spacing).astype(np.float32)


def speckle(rng: np.random.Generator, image: np.ndarray, looks: float) -> np.ndarray:
    """Multiply by gamma-distributed speckle of mean 1 and variance 1 / looks (Goodman 2007)."""
    return image * rng.gamma(looks, 1 / looks, size=image.shape).astype(np.float32)
