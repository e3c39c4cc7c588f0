import csv
import math

import nibabel
import numpy as np
import pytest

from fedfactory.errors import FedFactoryError
from fedfactory.evaluation.dice import dice
from fedfactory.evaluation.metrics import Ruler
from fedfactory.evaluation.released_slices import read_panels
from fedfactory.evaluation.scores import score_cell, write_panel
from fedfactory.evaluation.subjects import read_labels, read_subjects
from tests.conftest import write_nifti

CELL = {"setup": "ms", "target": "ge", "method": "nnunet", "seed": 0, "labels_train": 3, "labels_choose": 24}
AFFINE = np.diag([-1.5, -1.5, 8.0, 1.0])


def test_dice_at_known_values():
    a, b = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    assert math.isnan(dice(a, b))
    a[:2] = True
    assert dice(a, b) == dice(b, a) == 0.0
    assert dice(a, a) == 1.0
    b[1:3] = True
    assert dice(a, b) == pytest.approx(2 * 4 / 16)


@pytest.fixture
def cell(tmp_path):
    truth = np.zeros((8, 8, 3), np.uint8)
    truth[2:6, 2:6, 1] = 1
    truth[6, 2:6, 1] = 2
    predicted = np.where(truth == 1, 1, 0).astype(np.uint8)
    predicted[2, 2:6, 1] = 0
    write_nifti(tmp_path / "truth/a_truth.nii.gz", truth, AFFINE)
    write_nifti(tmp_path / "truth/a_image.nii.gz", truth.astype(np.float32) * 10, AFFINE)
    write_nifti(tmp_path / "predictions/a.nii.gz", predicted, AFFINE)
    return tmp_path


def score(folder, classes=("LV", "MYO", "RV")):
    places = folder / "truth", folder / "predictions", Ruler(1.5), "RAS", folder / "scores.csv"
    score_cell(CELL, classes, {"a": "s"}, *places)
    with (folder / "scores.csv").open() as file:
        return {row["class"]: row["dice"] for row in csv.DictReader(file)}


def test_scores_by_class(cell):
    """12 of 16 pixels found; a class that is missed counts 0; one that is not there counts nowhere."""
    assert score(cell) == {"LV": f"{2 * 12 / 28:.6f}", "MYO": "0.000000", "RV": ""}


def test_a_prediction_that_goes_on_beyond_the_class_is_told_how_far(cell):
    """Dice 0.76 over all, 0.86 where the class is; one slice further, 8 mm."""
    mask = np.asarray(nibabel.load(cell / "predictions/a.nii.gz").dataobj).copy()
    mask[2:4, 2:6, 2] = 1
    write_nifti(cell / "predictions/a.nii.gz", mask, AFFINE)
    found = score(cell)
    assert found["LV"] == f"{2 * 12 / 36:.6f}"
    subject = read_subjects(cell / "scores.csv")["s"]
    assert subject.classes["LV"]["dice_inside"] == pytest.approx(100 * 2 * 12 / 28, abs=1e-4)
    assert (subject.classes["LV"]["slices_beyond"], subject.classes["LV"]["mm_beyond"]) == (1, 8)
    assert (subject.classes["MYO"]["slices_beyond"], subject.classes["MYO"]["dice_inside"]) == (0, 0)
    assert math.isnan(subject.classes["RV"]["mm_beyond"]), "the class is not there"
    assert read_labels(cell / "scores.csv") == (3, 24)


def test_missing_prediction(cell):
    (cell / "predictions/a.nii.gz").unlink()
    with pytest.raises(FedFactoryError, match="a.nii.gz is missing; the method must predict every test case"):
        score(cell)
    assert not (cell / "scores.csv").exists()


@pytest.mark.parametrize(("shape", "affine"), [((8, 8, 4), AFFINE), ((8, 8, 3), np.diag([1.5, -1.5, 8, 1]))])
def test_prediction_in_another_geometry_is_refused(cell, shape, affine):
    write_nifti(cell / "predictions/a.nii.gz", np.zeros(shape, np.uint8), affine)
    with pytest.raises(FedFactoryError, match="geometry of the raw image"):
        score(cell)


@pytest.mark.parametrize("value", [0.5, -1, 4, 255, math.nan])
def test_a_prediction_that_is_no_label_map_is_refused(cell, value):
    mask = np.zeros((8, 8, 3), np.float32)
    mask[1, 1, 1] = value
    write_nifti(cell / "predictions/a.nii.gz", mask, AFFINE)
    with pytest.raises(FedFactoryError, match=f"a.nii.gz: holds the value {float(value)}; .* from 0 to 3"):
        score(cell)
    assert not (cell / "scores.csv").exists()


def test_labels_as_floats_are_labels(cell):
    expected, file = score(cell), cell / "predictions/a.nii.gz"
    write_nifti(file, np.asarray(nibabel.load(file).dataobj).astype(np.float32), AFFINE)
    assert score(cell) == expected


def test_a_prediction_that_is_cut_off_is_refused(cell):
    file = cell / "predictions/a.nii.gz"
    file.write_bytes(file.read_bytes()[:60])
    with pytest.raises(FedFactoryError, match=r"a\.nii\.gz: "):
        score(cell)


def test_panel_shows_the_middle_slice_of_the_truth(cell):
    write_panel("a", cell / "truth", cell / "predictions", "RAS", cell / "panel.npz")
    (panel,) = read_panels(cell / "panel.npz").values()
    canonical = nibabel.as_closest_canonical(nibabel.load(cell / "truth/a_truth.nii.gz")).get_fdata()
    np.testing.assert_array_equal(panel.truth, canonical[:, ::-1, 1].T)
    assert panel.aspect == 1.0
    assert panel.image.dtype == np.uint8
    assert (panel.prediction == 1).sum() == 12
