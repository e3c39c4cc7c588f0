import json
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest

from fedfactory.data.adapters import find_cases
from fedfactory.data.preprocessing import _HISTOGRAM_EDGES, ClientTask, _percentiles, prepare_client
from fedfactory.data.splits import SplitSizes
from fedfactory.data.store import ClientView
from fedfactory.data.tiling import Tiles
from fedfactory.errors import FedFactoryError
from fedfactory.evaluation.dice import dice
from fedfactory.methods.contract import predict_cases
from fedfactory.orchestration.labels import Labels
from fedfactory.orchestration.progress import Progress
from tests.conftest import ball_volume, real_head, write_nifti

ALL = Labels(few_shot=None, validation=True, training=True)
TASK = ClientTask(
    setup="own",
    client="here",
    classes=("ball",),
    label_values={1: 1},
    orientation="RAS",
    image_size=32,
    position_bins=29,
    clip_percentiles=(0.1, 99.9),
    split=SplitSizes(validation=0.2, test=0.3),
    few_shot=3,
    needs_labels=False,
    scored=True,
    seed=0,
)
FOLDERS = {"images": "imagesTr", "labels": "labelsTr"}


def prepare(root: Path, out: Path, task: ClientTask = TASK, options=FOLDERS) -> ClientView:
    cases = find_cases("generic", root, options, task.where)
    prepare_client(task, cases, out / "data", out / "truth", out / "preview.npz")
    return ClientView(out / "data", ALL)


def test_store_holds_what_its_docstring_says(make_site, tmp_path):
    view = prepare(make_site(10), tmp_path / "out")
    images, labels = (
        np.load(tmp_path / f"out/data/{n}.npy", mmap_mode="r", allow_pickle=False) for n in ("images", "labels")
    )
    assert images.shape == labels.shape == (len(view.rows), 32, 32)
    assert images.dtype == np.float32
    assert labels.dtype == np.uint8
    assert images.min() == -1.0
    assert 0.999 < images.max() <= 1.0
    splits = {row.subject: row.split for row in view.rows}
    assert sorted(splits.values()).count("test") == 3
    assert sorted(splits.values()).count("validation") == 2
    assert {row.split for row in view.rows if row.in_mt} == {"train"}


def test_truth_of_the_test_set_is_not_in_the_store(make_site, tmp_path):
    view = prepare(make_site(10), tmp_path / "out")
    labels = np.load(tmp_path / "out/data/labels.npy")
    tested = np.array([row.split == "test" for row in view.rows])
    assert not labels[tested].any()
    assert labels[~tested].any()
    assert len(list((tmp_path / "out/truth").glob("*_truth.nii.gz"))) == 3
    with pytest.raises(ValueError, match="truth of the test set"):
        view.labelled_volumes("test")


def test_statistics_ignore_the_test_set(make_site, tmp_path):
    """A test image a hundred times brighter changes nothing in the other slices."""
    root = make_site(10)
    before = prepare(root, tmp_path / "a")
    tested = sorted({row.case for row in before.rows if row.split == "test"})
    path = root / "imagesTr" / f"{tested[0]}_0000.nii.gz"
    write_nifti(path, 100 * nibabel.load(path).get_fdata().astype(np.float32))
    after = prepare(root, tmp_path / "b")
    for volume, other in zip(before.unlabelled_images(), after.unlabelled_images(), strict=True):
        np.testing.assert_array_equal(volume.images, other.images)


def test_few_shot_slices_are_the_middle_of_the_organ(make_site, tmp_path):
    view = prepare(make_site(10), tmp_path / "out")
    few = view.few_shot()
    assert few.images.shape == (3, 32, 32)
    chosen = [row for row in view.rows if row.in_mt]
    assert len({row.subject for row in chosen}) == 3
    volumes = {volume.name: volume for volume in view.labelled_volumes("train")}
    for row in chosen:
        organ = np.flatnonzero(volumes[row.case].labels.any((1, 2)))
        assert row.slice == organ[len(organ) // 2]
    assert few.labels.reshape(3, -1).any(axis=1).all()


def test_of_tiles_m_t_takes_the_middle_one_by_what_they_show(make_site, tmp_path):
    """Two thirds of the tiles of a small ball hold nothing or a corner of it; they lie in no order."""
    view = prepare(make_site(10), tmp_path / "out", replace(TASK, image_size=8, tiles=Tiles(spacing_mm=1.0, count=9)))
    volumes = {volume.name: volume for volume in view.labelled_volumes("train")}
    chosen = [row for row in view.rows if row.in_mt]
    assert len(chosen) == 3
    for row in chosen:
        area = volumes[row.case].labels.sum((1, 2))
        shown = np.sort(area[area > 0])
        assert area[row.slice] == shown[len(shown) // 2] > shown[0]


def test_positions_know_nothing_of_labels(make_site, tmp_path):
    """Nobody but M_t and the validation volumes tells where the organ of a target begins."""
    root = make_site(10)
    view = prepare(root, tmp_path / "out")
    for case in {row.case for row in view.rows}:
        bins = [row.position_bin for row in view.rows if row.case == case]
        assert bins == [number * 29 // len(bins) for number in range(len(bins))]
    for file in (root / "labelsTr").glob("*.nii.gz"):
        label = nibabel.load(file).get_fdata().astype(np.uint8)
        label[..., ::2] = 0
        write_nifti(file, label)
    other = prepare(root, tmp_path / "other")
    assert [row._replace(in_mt=False) for row in other.rows] == [row._replace(in_mt=False) for row in view.rows]


def test_same_bytes_twice(make_site, tmp_path):
    root = make_site(10)
    for name in ("a", "b"):
        prepare(root, tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) > 8
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_site_without_any_label(make_site, tmp_path):
    task = replace(TASK, scored=False, few_shot=0)
    view = prepare(make_site(4), tmp_path / "out", task, {"images": "imagesTr"})
    assert {(row.split, row.labelled, row.in_mt) for row in view.rows} == {("train", False, False)}
    assert len(list(view.unlabelled_images())) == 4
    with pytest.raises(FedFactoryError, match="none is left for the test set; .*'scored: false'"):
        prepare(make_site(4), tmp_path / "other", TASK, {"images": "imagesTr"})


def test_unlabelled_subjects_keep_every_slice(make_site, tmp_path):
    root = make_site(6)
    rows = [
        f"s{i},imagesTr/case{i:02d}_0000.nii.gz,{f'labelsTr/case{i:02d}.nii.gz' if i < 5 else ''}" for i in range(6)
    ]
    (root / "t.csv").write_text("subject,image,label\n" + "\n".join(rows) + "\n")
    view = prepare(root, tmp_path / "out", replace(TASK, split=SplitSizes(0.2, 0.2)), {"table": "t.csv"})
    unlabelled = [row for row in view.rows if row.subject == "s5"]
    assert all(row.split == "train" and not row.labelled for row in unlabelled)
    assert [row.position_bin for row in unlabelled][0] == 0
    names = {volume.name for volume in view.unlabelled_images()}
    assert any("case05" in name for name in names)
    assert not any("case05" in volume.name for volume in view.labelled_volumes("train"))


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (replace(TASK, few_shot=8), "M_t needs 8 labelled training subjects, there are 5"),
        (replace(TASK, label_values={2: 1}), "label value 1 is unknown to the setup"),
    ],
)
def test_nothing_is_half_written(make_site, tmp_path, task, message):
    with pytest.raises(FedFactoryError, match=message):
        prepare(make_site(10), tmp_path / "out", task)
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_source_without_labels(make_site, tmp_path):
    root = make_site(3)
    rows = ["a,imagesTr/case00_0000.nii.gz,,train", "b,imagesTr/case01_0000.nii.gz,labelsTr/case01.nii.gz,test"]
    (root / "t.csv").write_text("subject,image,label,split\n" + "\n".join(rows) + "\n")
    with pytest.raises(FedFactoryError, match="client here of setup own: the source needs labelled training volumes"):
        prepare(root, tmp_path / "out", replace(TASK, needs_labels=True, few_shot=0), {"table": "t.csv"})


def test_label_outside_of_what_the_image_shows(make_site, tmp_path):
    root = make_site(10)
    image, mask = ball_volume(seed=4)
    write_nifti(root / "imagesTr/case04_0000.nii.gz", image * mask)
    write_nifti(root / "labelsTr/case04.nii.gz", 1 - mask)
    with pytest.raises(FedFactoryError, match=r"labelsTr/case04.nii.gz: .* of the label lie outside the foreground"):
        prepare(root, tmp_path / "out")


@pytest.mark.parametrize("percentiles", [(0.0, 100.0), (0.1, 99.9), (5.0, 95.0)])
def test_clip_limits_are_percentiles_of_what_was_counted(percentiles):
    values = np.random.default_rng(0).normal(0, 1, 200_000)
    low, high = _percentiles(np.histogram(values, _HISTOGRAM_EDGES)[0], percentiles)
    np.testing.assert_allclose([low, high], np.percentile(values, percentiles), atol=0.01)


def test_task_survives_json():
    text = json.dumps(TASK.__dict__, default=lambda value: value.__dict__)
    assert ClientTask.from_json(json.loads(text)) == TASK


def test_real_image_comes_back_in_its_own_geometry(tmp_path):
    affine = real_head(tmp_path / "site")
    view = prepare(tmp_path / "site", tmp_path / "out", replace(TASK, image_size=48))
    training = view.labelled_volumes("train")
    cut = max(np.linspace(-1, 1, 101), key=lambda c: np.mean([dice(v.images > c, v.labels == 1) for v in training]))

    def threshold(images: np.ndarray) -> np.ndarray:
        return (images > cut).astype(np.uint8)

    predict_cases(view, threshold, tmp_path / "predictions", Progress("test"))
    predictions = sorted((tmp_path / "predictions").glob("*.nii.gz"))
    assert len(predictions) == 2
    for path in predictions:
        raw = nibabel.load(tmp_path / "site/imagesTr" / f"{path.name.removesuffix('.nii.gz')}_0000.nii.gz")
        truth = nibabel.load(tmp_path / "site/labelsTr" / path.name)
        mask = nibabel.load(path)
        assert mask.shape == raw.shape
        np.testing.assert_allclose(mask.affine, affine)
        assert dice(np.asarray(mask.dataobj) == 1, np.asarray(truth.dataobj) == 1) > 0.8


def test_truth_that_passes_through_the_slices_returns(tmp_path):
    """Crop, orientation, resampling and padding lose next to nothing of a real, oblique image's mask."""
    real_head(tmp_path / "site")
    view = prepare(tmp_path / "site", tmp_path / "out", replace(TASK, image_size=48))
    for volume in view.labelled_volumes("train"):
        truth = np.asarray(nibabel.load(tmp_path / "site/labelsTr" / f"{volume.name}.nii.gz").dataobj)
        back = view.geometry(volume.name).to_raw(np.ascontiguousarray(volume.labels))
        assert dice(back == 1, truth == 1) > 0.99
