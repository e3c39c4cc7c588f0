"""Signal equations at values worked out by hand."""

import numpy as np
import pytest

from fedfactory.phantoms import physics


def test_spin_echo():
    # TR = T1 ln 2 leaves half of the magnetisation, TE = T2 ln 2 half of that.
    assert physics.spin_echo(0.8, 1000, 100, tr=1000 * np.log(2), te=100 * np.log(2)) == pytest.approx(0.2)


def test_spoiled_gre():
    # E1 = 1/2 at 60 degrees: sin 60 (1/2) / (1 - 1/4), halved by T2*.
    signal = physics.spoiled_gre(1.0, 1000, 10, tr=1000 * np.log(2), te=10 * np.log(2), flip=60)
    assert signal == pytest.approx(np.sqrt(3) / 2 * 0.5 / 0.75 / 2)


def test_spoiled_gre_peaks_at_the_ernst_angle():
    flips = np.arange(1, 90)
    best = flips[np.argmax([physics.spoiled_gre(1, 1000, 50, tr=100, te=0, flip=f) for f in flips])]
    assert best == pytest.approx(np.rad2deg(np.arccos(np.exp(-0.1))), abs=1)


def test_bssfp_on_resonance_is_the_closed_form():
    e1, e2, a = np.exp(-3 / 1441), np.exp(-3 / 290), np.deg2rad(60)
    expected = np.sin(a) * (1 - e1) / (1 - (e1 - e2) * np.cos(a) - e1 * e2) * np.exp(-1.5 / 290)
    assert physics.bssfp(1.0, 1441, 290, tr=3, flip=60) == pytest.approx(expected)


def test_bssfp_short_tr_limit_and_band():
    # For TR << T2 <= T1 = T2 and 90 degrees the signal is M0 / 2 (Scheffler and Lehnhardt 2003).
    assert physics.bssfp(1.0, 1000, 1000, tr=0.01, flip=90) == pytest.approx(0.5, rel=1e-3)
    assert physics.bssfp(1.0, 1441, 290, tr=3, flip=60, phase=np.pi) < 0.1 * physics.bssfp(
        1.0, 1441, 290, tr=3, flip=60
    )


def test_inflow_runs_from_fresh_to_saturated():
    sequence = {"tr": 22, "te": 0, "flip": 20}
    fresh = physics.inflow_gre(1.0, 1932, 48, depth=0, velocity=100, **sequence)
    stale = physics.inflow_gre(1.0, 1932, 48, depth=1e5, velocity=1, **sequence)
    assert fresh == pytest.approx(np.sin(np.deg2rad(20)))
    assert stale == pytest.approx(physics.spoiled_gre(1.0, 1932, 48, **sequence))
    speeds = physics.inflow_gre(1.0, 1932, 48, depth=60, velocity=np.array([50, 100, 300]), **sequence)
    assert np.all(np.diff(speeds) > 0)


def test_vein_phase_and_mask():
    # The field of a long vein vanishes at the magic angle and grows with deoxygenation.
    assert physics.vein_phase(np.sqrt(1 / 3), b0=3, te=20, oxygenation=0.55) == pytest.approx(0, abs=1e-12)
    dchi = 4 * np.pi * 0.27e-6 * 0.45 * 0.42
    expected = 2 * np.pi * 42.577e6 * 0.02 * 3 * dchi / 3
    assert physics.vein_phase(1.0, b0=3, te=20, oxygenation=0.55) == pytest.approx(expected)
    assert physics.phase_mask(np.array([0, np.pi / 2, np.pi, 4])).tolist() == pytest.approx([1, 1 / 16, 0, 0])


def test_decorrelation_saturates():
    assert physics.decorrelation(0.0, saturation=2) == 0
    assert physics.decorrelation(2.0, saturation=2) == pytest.approx(1 - np.exp(-1))


def test_murray():
    large, small = physics.murray_daughters(2.0, np.array([0.3, 1.0]))
    assert large**3 + small**3 == pytest.approx(8)
    # Equal daughters: cos = 2^(4/3) / (2 * 2^(2/3)) = 2^(-1/3), i.e. 37.5 degrees.
    angle = physics.murray_angle(2.0, large[1], small[1])
    assert np.rad2deg(angle) == pytest.approx(37.467, abs=1e-3)
