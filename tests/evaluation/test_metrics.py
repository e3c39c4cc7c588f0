"""Metrics against shapes whose figures are known by hand, and against another library."""

import math

import numpy as np
import pytest

from fedfactory.evaluation.metrics import Outcome, Ruler, compare, diagonal_mm

SPACING = (0.5, 2.0, 7.0)


def box(shape: tuple[int, ...], *ranges: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(*limits) for limits in ranges)] = True
    return mask


@pytest.mark.parametrize(("axis", "voxels"), [(0, 3), (1, 2), (2, 1)])
def test_a_plate_that_moved_is_as_far_away_as_the_voxels_are_large(axis, voxels):
    """A plate one voxel thick is all surface: every point of one lies at the same distance from the other."""
    ranges = [(2, 18), (2, 18), (2, 18)]
    ranges[axis] = (5, 6)
    truth = box((20, 20, 20), *ranges)
    found = compare(np.roll(truth, voxels, axis), truth, SPACING, Ruler(1.0))
    assert found.outcome == Outcome.FOUND
    assert found.hd95_mm == pytest.approx(voxels * SPACING[axis], abs=1e-5)
    assert found.dice == 0
    assert found.nsd == 0
    assert found.volume_error == 0
    assert compare(np.roll(truth, voxels, axis), truth, SPACING, Ruler(voxels * SPACING[axis])).nsd == 1


def test_the_share_of_a_surface_within_tolerance_by_hand():
    """Plates of 10 x 10 voxels, the prediction has an eleventh row 0.5 mm beside: 5 of 210 points are further away."""
    truth = box((20, 20, 5), (2, 12), (2, 12), (2, 3))
    predicted = truth | box((20, 20, 5), (12, 14), (2, 7), (2, 3))
    found = compare(predicted, truth, SPACING, Ruler(0.5))
    # Ten voxels more: five at 0.5 mm, five at 1.0 mm.
    assert found.nsd == pytest.approx((100 + 105) / (100 + 110), abs=1e-6)
    assert found.dice == pytest.approx(200 / 210)
    assert found.volume_error == pytest.approx(2 * 10 / 210)
    assert found.truth_ml == pytest.approx(100 * 7.0 / 1000)
    assert found.predicted_ml == pytest.approx(110 * 7.0 / 1000)


def test_ninety_five_percent_of_the_distances_leave_an_outlier_out():
    truth = box((60, 60, 3), (2, 12), (2, 12), (1, 2))
    outlier = truth | box((60, 60, 3), (50, 51), (2, 5), (1, 2))
    assert compare(outlier, truth, SPACING, Ruler(1.0)).hd95_mm == pytest.approx(0, abs=1e-6)
    crowd = truth | box((60, 60, 3), (50, 51), (2, 12), (1, 2))
    assert compare(crowd, truth, SPACING, Ruler(1.0)).hd95_mm > 15


def test_a_flat_image_is_measured_in_its_plane():
    """OCTA: one slice. In three dimensions each of its voxels would be surface, and NSD would count areas."""
    truth = box((40, 40), (5, 25), (5, 25))
    predicted = box((40, 40), (5, 29), (5, 25))
    flat = compare(predicted, truth, (0.1, 0.1), Ruler(0.1))
    assert flat.hd95_mm == pytest.approx(0.4, abs=1e-6)
    volume = compare(predicted[:, :, None], truth[:, :, None], (0.1, 0.1, 1.0), Ruler(0.1))
    assert (volume.hd95_mm, volume.nsd, volume.dice) == (flat.hd95_mm, flat.nsd, flat.dice)


def test_projections_are_measured_one_by_one():
    """Three copies of a flat image say what one says; as a volume, two of the three would be all surface."""
    truth, predicted = box((40, 40), (5, 25), (5, 25)), box((40, 40), (5, 29), (5, 25))
    stack = [np.repeat(mask[:, :, None], 3, axis=2) for mask in (predicted, truth)]
    flat = compare(predicted, truth, (0.1, 0.1), Ruler(0.1))
    planar = compare(*stack, (0.1, 0.1, 1.0), Ruler(0.1, planar=True))
    assert (planar.hd95_mm, planar.nsd, planar.dice) == pytest.approx((flat.hd95_mm, flat.nsd, flat.dice))
    assert compare(*stack, (0.1, 0.1, 1.0), Ruler(0.1)).nsd != pytest.approx(flat.nsd, abs=0.01)
    stack[0][:, :, 2] = False
    one_missed = compare(*stack, (0.1, 0.1, 1.0), Ruler(0.1, planar=True))
    assert one_missed.nsd == pytest.approx(2 / 3 * flat.nsd)
    assert one_missed.hd95_mm == pytest.approx((2 * flat.hd95_mm + math.hypot(4, 4)) / 3)


def test_failing_gets_the_worst_figures_and_nothing_at_all_gets_none():
    shape = (20, 10, 4)
    empty, full = np.zeros(shape, dtype=bool), box(shape, (4, 9), (2, 8), (1, 3))
    worst = math.hypot(10, 20, 28)
    assert diagonal_mm(shape, SPACING) == pytest.approx(worst)
    miss = compare(empty, full, SPACING, Ruler(1.0))
    assert (miss.outcome, miss.dice, miss.nsd, miss.volume_error) == (Outcome.MISS, 0, 0, -2)
    assert miss.hd95_mm == pytest.approx(worst)
    alarm = compare(full, empty, SPACING, Ruler(1.0))
    assert (alarm.outcome, alarm.dice, alarm.nsd, alarm.volume_error) == (Outcome.FALSE_ALARM, 0, 0, 2)
    assert alarm.hd95_mm == pytest.approx(worst)
    absent = compare(empty, empty, SPACING, Ruler(1.0))
    assert absent.outcome == Outcome.ABSENT
    assert all(math.isnan(value) for value in (absent.dice, absent.hd95_mm, absent.nsd, absent.volume_error))
    # A wrong place is never worse than a miss.
    corner = compare(box(shape, (0, 1), (0, 1), (0, 1)), box(shape, (19, 20), (9, 10), (3, 4)), SPACING, Ruler(1.0))
    assert corner.hd95_mm < miss.hd95_mm
    everything = compare(np.ones(shape, dtype=bool), full, SPACING, Ruler(1.0))
    assert 1 < everything.volume_error < abs(miss.volume_error), "nor is claiming everything"


def by_simpleitk(prediction: np.ndarray, truth: np.ndarray, tolerance: float) -> tuple[float, float]:
    """HD95 and NSD from SimpleITK's contours and distance maps."""
    import SimpleITK

    images = [SimpleITK.GetImageFromArray(mask.astype(np.uint8).T) for mask in (prediction, truth)]
    for image in images:
        image.SetSpacing(SPACING)
    surfaces = [SimpleITK.GetArrayFromImage(SimpleITK.LabelContour(image, False)) == 1 for image in images]
    maps = []
    for surface in surfaces:
        image = SimpleITK.GetImageFromArray(surface.astype(np.uint8))
        image.SetSpacing(SPACING)
        distance = SimpleITK.SignedMaurerDistanceMap(image, squaredDistance=False, useImageSpacing=True)
        maps.append(np.abs(SimpleITK.GetArrayFromImage(distance)))
    apart = [maps[1][surfaces[0]], maps[0][surfaces[1]]]
    within = sum(int((distances <= tolerance).sum()) for distances in apart)
    return max(np.percentile(distances, 95) for distances in apart), within / sum(map(len, apart))


@pytest.mark.parametrize("seed", range(5))
def test_monai_agrees_with_simpleitk(seed):
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    # Blobs that touch no border, where libraries differ in what they call surface.
    masks = []
    for _ in range(2):
        field = np.zeros((40, 30, 16))
        field[3:-3, 3:-3, 3:-3] = gaussian_filter(rng.normal(size=(34, 24, 10)), 3)
        masks.append(field > 0.02)
    tolerance = 1.9
    found = compare(*masks, SPACING, Ruler(tolerance))
    hd95, nsd = by_simpleitk(*masks, tolerance)
    assert found.hd95_mm == pytest.approx(hd95, abs=1e-3)
    assert found.nsd == pytest.approx(nsd, abs=1e-6)
    # Symmetric, and no worse in better company.
    swapped = compare(masks[1], masks[0], SPACING, Ruler(tolerance))
    assert (swapped.hd95_mm, swapped.nsd) == (found.hd95_mm, found.nsd)
    assert compare(masks[1], masks[1], SPACING, Ruler(0)).nsd == 1
