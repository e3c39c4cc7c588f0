"""Signal equations: pure functions of tissue and sequence parameters. Times in ms, flip angles in degrees."""

from typing import Any

import numpy as np

Values = Any  # a number or a broadcastable array, and the same of results

GAMMA_HZ_PER_T = 42.577e6  # proton gyromagnetic ratio / 2 pi
CHI_DO = 0.27e-6  # susceptibility difference of fully deoxygenated red cells, cgs (Spees et al., MRM 2001)


def spin_echo(pd: Values, t1: Values, t2: Values, *, tr: float, te: float) -> Values:
    """Spin echo signal, PD (1 - exp(-TR/T1)) exp(-TE/T2), in units of PD; holds for TE << TR.

    Haacke et al., Magnetic Resonance Imaging: Physical Principles and Sequence Design (1999), chapter 8.
    """
    return pd * (1 - np.exp(-tr / t1)) * np.exp(-te / t2)


def spoiled_gre(pd: Values, t1: Values, t2s: Values, *, tr: float, te: float, flip: float) -> Values:
    """Steady state of the spoiled gradient echo (Ernst and Anderson 1966), in units of PD."""
    a, e1 = np.deg2rad(flip), np.exp(-tr / t1)
    return pd * np.sin(a) * (1 - e1) / (1 - e1 * np.cos(a)) * np.exp(-te / t2s)


def bssfp(pd: Values, t1: Values, t2: Values, *, tr: float, flip: float, phase: Values = 0.0) -> Values:
    """Steady state of balanced SSFP with alternating RF phase, echo at TR/2, in units of PD.

    On resonance this is PD sin(a) (1 - E1) / (1 - (E1 - E2) cos(a) - E1 E2) exp(-TR/2T2) (Scheffler and Lehnhardt,
    Eur. Radiol. 2003). Off resonance the signal falls to a dark band where the phase is +-pi (Freeman and Hill 1971).

    Args:
        pd: proton density, any broadcastable array.
        t1: longitudinal relaxation time, ms.
        t2: transverse relaxation time, ms.
        tr: repetition time, ms.
        flip: flip angle, degrees.
        phase: precession by off-resonance within one TR, radians.

    Returns:
        Magnitude signal, broadcast over the arguments.
    """
    a, e1, e2 = np.deg2rad(flip), np.exp(-tr / t1), np.exp(-tr / t2)
    cos_b = -np.cos(phase)  # alternating RF moves the pass band to zero off-resonance
    denominator = (1 - e1 * np.cos(a)) * (1 - e2 * cos_b) - (e1 - np.cos(a)) * (e2 - cos_b) * e2
    transverse = pd * (1 - e1) * np.sin(a) * np.sqrt(1 - 2 * e2 * cos_b + e2 * e2) / denominator
    return transverse * np.exp(-tr / (2 * t2))


def inflow_gre(
    pd: Values, t1: Values, t2s: Values, *, tr: float, te: float, flip: float, depth: Values, velocity: Values
) -> Values:
    """Spoiled gradient echo signal of blood that entered the slab fresh and has seen n = depth / (velocity TR) pulses.

    Mz before pulse n is Mss + (1 - Mss) (E1 cos a)^n; n = 0 gives fresh spins, a large n the saturated steady state
    (Haacke et al. 1999, chapter 24).

    Args:
        pd: proton density of blood.
        t1: T1 of blood, ms.
        t2s: T2* of blood, ms.
        tr: repetition time, ms.
        te: echo time, ms.
        flip: flip angle, degrees.
        depth: way from the edge of the slab, mm.
        velocity: mean velocity along that way, mm/s.

    Returns:
        Magnitude signal in units of PD, broadcast over depth and velocity.
    """
    a, e1 = np.deg2rad(flip), np.exp(-tr / t1)
    pulses = np.maximum(depth, 0) / (np.maximum(velocity, 1e-3) * tr / 1000)
    steady = (1 - e1) / (1 - e1 * np.cos(a))
    mz = steady + (1 - steady) * (e1 * np.cos(a)) ** pulses
    return pd * np.sin(a) * mz * np.exp(-te / t2s)


def vein_phase(cos_theta: Values, *, b0: float, te: float, oxygenation: float, haematocrit: float = 0.42) -> Values:
    """Phase (radians) in a long vein: 2 pi gamma TE B0 dchi (cos^2 theta - 1/3) / 2, dchi = 4 pi CHI_DO (1 - Y) Hct.

    Infinite-cylinder field with Lorentz correction (Haacke et al., MRM 2004; Spees et al., MRM 2001). Theta is the
    angle between vein and main field, b0 in T, te in ms, oxygenation a fraction in 0..1.
    """
    dchi = 4 * np.pi * CHI_DO * (1 - oxygenation) * haematocrit
    return 2 * np.pi * GAMMA_HZ_PER_T * te / 1000 * b0 * dchi * (np.square(cos_theta) - 1 / 3) / 2


def phase_mask(phase: Values, *, power: int = 4) -> Values:
    """SWI mask in 0..1: ((pi - |phase|) / pi)^power, zero beyond pi (Haacke et al., MRM 2004).

    The two-sided ("triangular") mask is used: it darkens veins of either orientation.
    """
    return np.clip((np.pi - np.abs(phase)) / np.pi, 0, 1) ** power


def decorrelation(velocity: Values, *, saturation: float) -> Values:
    """OCTA flow signal in 0..1, 1 - exp(-v / v_sat): rises with flow and saturates (after Tokayer et al. 2013)."""
    return 1 - np.exp(-np.maximum(velocity, 0) / saturation)


def murray_daughters(radius: Values, ratio: Values) -> tuple[Values, Values]:
    """Radii (larger, smaller) of two daughters that keep r^3 (Murray 1926); ratio = smaller / larger in 0..1."""
    larger = radius * (1 + np.power(ratio, 3)) ** (-1 / 3)
    return larger, ratio * larger


def murray_angle(parent: Values, daughter: Values, sibling: Values) -> Values:
    """Angle (radians) between parent and daughter of least work: cos = (r0^4 + r1^4 - r2^4) / (2 r0^2 r1^2)."""
    cosine = (parent**4 + daughter**4 - sibling**4) / (2 * parent**2 * daughter**2)
    return np.arccos(np.clip(cosine, -1, 1))
