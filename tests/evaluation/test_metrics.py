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


@pytest.mark.parametrize(("axis", "voxels"), [(0, 3), (1, 2), (2, 2)])
def test_a_plate_that_moved_is_as_far_away_as_the_voxels_are_large(axis, voxels):
    """HD95 is between voxels. NSD is between their faces: those that look at the other plate are a voxel nearer."""
    ranges = [(2, 18), (2, 18), (2, 18)]
    ranges[axis] = (5, 6)
    truth = box((20, 20, 20), *ranges)
    moved, far, near = np.roll(truth, voxels, axis), voxels * SPACING[axis], (voxels - 1) * SPACING[axis]
    found = compare(moved, truth, SPACING, Ruler(0.9 * near))
    assert found.outcome == Outcome.FOUND
    assert found.hd95_mm == pytest.approx(far, abs=1e-5)
    assert found.dice == 0
    assert found.nsd == 0
    assert found.volume_error == 0
    assert compare(moved, truth, SPACING, Ruler(near)).nsd == pytest.approx(0.5)
    assert compare(moved, truth, SPACING, Ruler(far)).nsd == 1


def surface(counts: tuple[int, ...], spacing: tuple[float, ...]) -> float:
    """Area of a box of voxels (in a plane: the length of its outline) between the voxels' centres and half a voxel out.

    A face has a patch at each corner of voxels within it; an edge is cut by a chamfer, a corner by a triangle.
    """
    if len(counts) == 2:
        return 2 * math.fsum((n - 1) * step for n, step in zip(counts, spacing, strict=True)) + 2 * math.hypot(*spacing)
    axes = ((0, 1, 2), (1, 2, 0), (2, 0, 1))
    faces = sum(2 * (counts[a] - 1) * (counts[b] - 1) * spacing[a] * spacing[b] for a, b, _ in axes)
    edges = sum(4 * (counts[a] - 1) * spacing[a] * math.hypot(spacing[b], spacing[c]) / 2 for a, b, c in axes)
    return faces + edges + math.hypot(*(spacing[a] * spacing[b] for a, b, _ in axes))


@pytest.mark.parametrize("counts", [(10, 8, 3), (2, 2, 6), (12, 5)])
def test_a_missing_box_costs_its_share_of_the_area(counts):
    """Area, not voxels of surface: a voxel's faces here differ by 14 times (Nikolov et al.)."""
    spacing, shape, other = SPACING[: len(counts)], (40, 40, 24)[: len(counts)], (4, 9, 5)[: len(counts)]
    found = box(shape, *((2, 2 + n) for n in counts))
    missed = box(shape, *((20 - 4 * (axis == 2), 20 - 4 * (axis == 2) + n) for axis, n in enumerate(other)))
    here, there = surface(counts, spacing), surface(other, spacing)
    assert compare(found, found | missed, spacing, Ruler(1.0)).nsd == pytest.approx(2 * here / (2 * here + there))


@pytest.mark.parametrize("step", [3.5, 3.5000001, 3.4999999, 0.1, 1 / 3])
def test_a_tolerance_of_one_voxel_holds_the_next_voxel(step):
    """Whatever the last digits of a spacing in a header."""
    truth = box((20, 20), (5, 15), (5, 15))
    moved = np.roll(truth, 1, 0)
    assert compare(moved, truth, (step, step), Ruler(round(step, 4))).nsd == 1
    assert compare(moved, truth, (step, step), Ruler(0.99 * step)).nsd < 1


def test_volumes_by_hand():
    truth = box((20, 20, 5), (2, 12), (2, 12), (2, 3))
    predicted = truth | box((20, 20, 5), (12, 14), (2, 7), (2, 3))
    found = compare(predicted, truth, SPACING, Ruler(0.5))
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


def by_simpleitk(prediction: np.ndarray, truth: np.ndarray) -> float:
    """HD95 from SimpleITK's contours and distance maps."""
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
    return max(np.percentile(distances, 95) for distances in apart)


@pytest.mark.parametrize("seed", range(5))
def test_hd95_agrees_with_simpleitk(seed):
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
    assert found.hd95_mm == pytest.approx(by_simpleitk(*masks), abs=1e-3)
    swapped = compare(masks[1], masks[0], SPACING, Ruler(tolerance))
    assert swapped.hd95_mm == found.hd95_mm
    assert swapped.nsd == pytest.approx(found.nsd)
    assert compare(masks[1], masks[1], SPACING, Ruler(0)).nsd == 1
