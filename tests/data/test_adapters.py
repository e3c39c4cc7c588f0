"""Each adapter on its release's layout, with the oddities that real releases have."""

import csv

import numpy as np
import pytest
from PIL import Image

from fedfactory.data.adapters import find_cases, survey_cases
from fedfactory.data.raw import read_case
from fedfactory.errors import FedFactoryError
from tests.conftest import ball_volume, write_nifti

WHERE = "client x of setup y"
IMAGE, MASK = ball_volume()


def mnms(root, columns=("External code", "VendorName", "Vendor", "Centre", "ED", "ES"), es="2"):
    with (root / "211230_M&Ms_Dataset_information_diagnosis_opendataset.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        for code, vendor in (("A0S9V9", "A"), ("B1T2W3", "B"), ("C4U5X6", "A"), ("Z9Z9Z9", "A")):
            writer.writerow({"External code": code, "VendorName": "?", "Vendor": vendor, "ED": "0", "ES": es})
    truth = np.zeros((*MASK.shape, 4), np.uint8)
    truth[..., 0], truth[..., 2] = MASK, MASK * 2
    cine = np.stack([IMAGE + t for t in range(4)], axis=-1)
    for folder, code in (("Training/Labeled", "A0S9V9"), ("Testing", "B1T2W3"), ("Training/Unlabeled", "C4U5X6")):
        write_nifti(root / folder / code / f"{code}_sa.nii.gz", cine)
        if folder != "Training/Unlabeled":
            write_nifti(root / folder / code / f"{code}_sa_gt.nii.gz", truth)


def test_mnms_takes_ed_and_es_of_its_vendor(tmp_path):
    mnms(tmp_path)
    cases = find_cases("mnms", tmp_path, {"vendor": "A"}, WHERE)
    assert [case.name for case in cases] == ["A0S9V9_ED", "A0S9V9_ES", "C4U5X6_ED", "C4U5X6_ES"]
    assert [case.label is not None for case in cases] == [True, True, False, False]
    es = read_case(cases[1], {1: 1, 2: 2, 3: 3})
    np.testing.assert_allclose(es.image, IMAGE + 2, rtol=1e-6)
    np.testing.assert_array_equal(es.label, MASK * 2)


def test_mnms_label_missing_where_one_is_needed(tmp_path):
    mnms(tmp_path)
    (tmp_path / "Training/Labeled/A0S9V9/A0S9V9_sa_gt.nii.gz").unlink()
    with pytest.raises(FedFactoryError, match="A0S9V9_sa.nii.gz has no label A0S9V9_sa_gt.nii.gz beside it"):
        find_cases("mnms", tmp_path, {"vendor": "A"}, WHERE)


def test_mnms_table_without_a_column_or_with_a_broken_frame(tmp_path):
    mnms(tmp_path, columns=("External code", "Vendor", "ED"))
    with pytest.raises(FedFactoryError, match="has no column 'ES'"):
        find_cases("mnms", tmp_path, {"vendor": "A"}, WHERE)
    mnms(tmp_path, es="-1")
    with pytest.raises(FedFactoryError, match="frame ES of subject A0S9V9 is '-1'"):
        find_cases("mnms", tmp_path, {"vendor": "A"}, WHERE)


def test_synthstrip_selects_by_folder_and_wants_both_files(tmp_path):
    for name in ("fsm_pd_02cd", "fsm_t2_24dz", "cermep_ct_01ab"):
        write_nifti(tmp_path / name / "mask.nii.gz", MASK)
    for name in ("fsm_pd_02cd", "fsm_t2_24dz"):
        write_nifti(tmp_path / name / "image.nii.gz", IMAGE)
    assert [case.name for case in find_cases("synthstrip", tmp_path, {"folders": "fsm_pd_*"}, WHERE)] == ["fsm_pd_02cd"]
    with pytest.raises(FedFactoryError, match="cermep_ct_01ab/image.nii.gz is missing; CERMEP"):
        find_cases("synthstrip", tmp_path, {"folders": "*_ct_*"}, WHERE)
    (tmp_path / "fsm_pd_02cd/mask.nii.gz").unlink()
    with pytest.raises(FedFactoryError, match="has no label mask.nii.gz"):
        find_cases("synthstrip", tmp_path, {"folders": "fsm_pd_*"}, WHERE)


def test_oasis_runs_fallback_names_and_sessions_of_one_subject(tmp_path):
    for session, names in {
        "OAS30001_MR_d0100": [
            "anat2/sub-OAS30001_ses-d0100_acq-TOF_run-02_angio",
            "anat1/sub-OAS30001_ses-d0100_acq-TOF_run-01_angio",
        ],
        "OAS30001_MR_d0900": ["anat3/sub-OAS30001_ses-d0900_acq-TOF_angio"],
        "OAS30002_MR_d0001": ["anat1/sub-OAS30002_ses-d0001_acq-TOF_angio"],
    }.items():
        for name in names:
            write_nifti(tmp_path / "images" / session / f"{name}.nii.gz", IMAGE)
    for session, label in {"OAS30001_MR_d0100": "vessel_mask_2", "OAS30001_MR_d0900": "vessel_mask"}.items():
        write_nifti(tmp_path / "labels" / session / "mask.nii.gz", MASK)
        write_nifti(tmp_path / "labels" / session / f"{label}.nii.gz", MASK)
    cases = find_cases("oasis", tmp_path, {}, WHERE)
    assert [case.subject for case in cases] == ["OAS30001", "OAS30001", "OAS30002"]
    assert "run-01" in cases[0].image.path.name
    assert cases[1].label.path.name == "vessel_mask.nii.gz"
    assert cases[2].label is None


def test_swi_with_and_without_vessels(tmp_path):
    for name in ("s1", "s2"):
        write_nifti(tmp_path / f"{name}.nii.gz", IMAGE)
        write_nifti(tmp_path / f"{name}_bet_mask.nii.gz", MASK)
    write_nifti(tmp_path / "mask/s1_vessel_mask.nii.gz", MASK)
    cases = find_cases("swi", tmp_path, {}, WHERE)
    assert [(case.name, case.label is not None) for case in cases] == [("s1", True), ("s2", False)]
    (tmp_path / "s2_bet_mask.nii.gz").unlink()
    with pytest.raises(FedFactoryError, match="s2.nii.gz has no brain mask"):
        find_cases("swi", tmp_path, {}, WHERE)


def test_ixi_names(tmp_path):
    for suffix in ("", "_mask", "_vessel_mask2"):
        write_nifti(tmp_path / f"IXI012-HH-1211-MRA{suffix}.nii.gz", MASK if suffix else IMAGE)
    write_nifti(tmp_path / "IXI013-HH-1212-MRA.nii.gz", IMAGE)
    cases = find_cases("ixi", tmp_path, {}, WHERE)
    assert [(c.subject, c.label is not None, c.roi is not None) for c in cases] == [
        ("IXI012", True, True),
        ("IXI013", False, False),
    ]


@pytest.mark.parametrize(
    ("release", "label"), [("OCTA_3mm_part1/OCTA_3mm", "Label/GT_LargeVessel"), ("OCTA_6M", "GroundTruth")]
)
def test_octa_old_and_new_layout(tmp_path, release, label):
    pixels = np.zeros((16, 16), np.uint8)
    pixels[4:8, 4:8] = 255
    for folder in (
        "Projection Maps/OCTA(FULL)",
        "Projection Maps/OCTA(ILM_OPL)",
        "Projection Maps/OCTA(OPL_BM)",
        label,
    ):
        path = tmp_path / release / folder / "10301.bmp"
        path.parent.mkdir(parents=True)
        Image.fromarray(pixels).save(path)
    (case,) = find_cases("octa500", tmp_path, {}, WHERE)
    volume = read_case(case, {255: 1})
    assert volume.image.shape == (16, 16, 3)
    assert volume.affine[0, 0] == (3 if "3mm" in release else 6) / 16
    (case,) = find_cases("octa500", tmp_path, {"projections": ["ILM_OPL"]}, WHERE)
    assert read_case(case, {255: 1}).image.shape == (16, 16, 1)
    (tmp_path / release / label / "10301.bmp").unlink()
    with pytest.raises(FedFactoryError, match="subject 10301 has no label"):
        find_cases("octa500", tmp_path, {}, WHERE)


def test_generic_reads_nnunet_layout_and_unlabelled_folders(make_site):
    root = make_site(2)
    labelled = find_cases("generic", root, {"images": "imagesTr", "labels": "labelsTr"}, WHERE)
    assert [case.name for case in labelled] == ["case00", "case01"]
    assert all(case.label is not None for case in labelled)
    assert all(case.label is None for case in find_cases("generic", root, {"images": "imagesTr"}, WHERE))
    (root / "labelsTr/case01.nii.gz").unlink()
    with pytest.raises(FedFactoryError, match="case01_0000.nii.gz has no label case01 in .*labelsTr"):
        find_cases("generic", root, {"images": "imagesTr", "labels": "labelsTr"}, WHERE)


def table(root, *lines):
    (root / "sites.csv").write_text("subject,image,label,split\n" + "\n".join(lines) + "\n")
    return find_cases("generic", root, {"table": "sites.csv"}, WHERE)


def test_generic_reads_a_table(make_site):
    root = make_site(2)
    cases = table(
        root,
        "a,imagesTr/case00_0000.nii.gz,labelsTr/case00.nii.gz,train",
        "b,imagesTr/case01_0000.nii.gz,,train",
    )
    assert [(case.subject, case.label is not None, case.split) for case in cases] == [
        ("a", True, "train"),
        ("b", False, "train"),
    ]


def test_table_with_blanks_a_typo_or_an_image_listed_twice(make_site):
    root = make_site(2)
    (case,) = table(root, " a ,imagesTr/case00_0000.nii.gz , labelsTr/case00.nii.gz, test")
    assert (case.subject, case.split) == ("a", "test")
    with pytest.raises(FedFactoryError, match=r"line 3: .*case00_0000.nii.gz is listed twice"):
        table(root, "a,imagesTr/case00_0000.nii.gz,,train", "b,imagesTr/case00_0000.nii.gz,,test")
    (root / "sites.csv").write_text("Subject,image,Set\na,imagesTr/case00_0000.nii.gz,test\n")
    with pytest.raises(FedFactoryError, match="unknown column 'Set'; known are subject, image, label, roi, split"):
        find_cases("generic", root, {"table": "sites.csv"}, WHERE)
    (root / "sites.csv").write_bytes("subject,image\nM\xfcller,x.nii\n".encode("latin-1"))
    with pytest.raises(FedFactoryError, match="save it as CSV in UTF-8"):
        find_cases("generic", root, {"table": "sites.csv"}, WHERE)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a,../../etc/passwd,,", "line 2, column 'image': '../../etc/passwd' leaves its folder"),
        ("a,/etc/passwd,,", "leaves its folder"),
        ("a,imagesTr/none.nii.gz,,", "none.nii.gz is missing"),
        ("a,imagesTr/case00_0000.nii.gz,,dev", "split 'dev' is unknown"),
        (",imagesTr/case00_0000.nii.gz,,", "must not be empty"),
    ],
)
def test_bad_table(make_site, line, message):
    with pytest.raises(FedFactoryError) as error:
        table(make_site(1), line)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("adapter", "options", "message"),
    [
        ("../../os", {}, "unknown adapter"),
        ("nifti", {}, "unknown adapter 'nifti'; known are bbbc038, chasedb1, generic"),
        ("swi", {"vendor": "A"}, "key 'options.vendor': is unknown"),
        ("mnms", {}, "key 'options.vendor': is missing"),
        ("mnms", {"vendor": 1}, "key 'options.vendor': must be a text, not 1"),
        ("oasis", {"labels": "../x"}, "leaves its folder"),
        ("octa500", {"projections": ["TOP"]}, "takes FULL, ILM_OPL, OPL_BM"),
        ("octa500", {"label": "../x"}, "is a folder name"),
        ("synthstrip", {"folders": "../*"}, "is a pattern of folder names"),
        ("generic", {}, "takes either"),
        ("ixi", {}, "found no image below"),
    ],
)
def test_bad_entry(tmp_path, adapter, options, message):
    with pytest.raises(FedFactoryError) as error:
        find_cases(adapter, tmp_path, options, WHERE)
    assert message in str(error.value)
    assert str(error.value).startswith(WHERE)


def test_missing_raw_folder(tmp_path):
    with pytest.raises(FedFactoryError, match="the raw folder .*nowhere is missing; put the release there"):
        find_cases("ixi", tmp_path / "nowhere", {}, WHERE)


def volumes(root, *names):
    for number, name in enumerate(names):
        write_nifti(root / f"{name}.nii.gz", *_different(number, "label" in name))


def _different(number, mask):
    image, truth = ball_volume(seed=number)
    return (truth if mask else image,)


def folder(root, **options):
    return find_cases("generic", root, {"images": "images", "labels": "labels"} | options, WHERE)


@pytest.mark.parametrize(
    ("names", "cases"),
    [
        (["case_0001", "case_0002", "case_0012"], ["case_0001", "case_0002", "case_0012"]),
        (["case_0000", "case_0010", "case_0011"], ["case_0000", "case_0010", "case_0011"]),
    ],
)
def test_a_number_is_that_of_a_channel_only_if_there_is_a_first_one(tmp_path, names, cases):
    volumes(tmp_path, *(f"images/{name}" for name in names), *(f"labels/{name}" for name in names))
    assert [case.name for case in folder(tmp_path)] == cases


def test_further_channels_are_refused(tmp_path):
    volumes(tmp_path, "images/a_0000", "images/a_0001", "labels/a")
    with pytest.raises(FedFactoryError, match="a_0001.nii.gz is by its name a further channel of a; "):
        folder(tmp_path)


def test_labels_and_images_without_each_other_are_named(tmp_path):
    volumes(tmp_path, "images/a", "labels/a", "labels/b")
    with pytest.raises(FedFactoryError, match="labels/b.nii.gz has no image of its name"):
        folder(tmp_path)
    volumes(tmp_path, "images/b")
    write_nifti(tmp_path / "labels/b.nii", MASK)
    with pytest.raises(FedFactoryError, match="b.nii and .*b.nii.gz; keep one|b.nii.gz and .*b.nii; keep one"):
        folder(tmp_path)


def test_names_of_one_file_in_the_folders_of_several_sessions(tmp_path):
    names = [f"sub-{n}/ses-{s}/t1" for n in (1, 2) for s in (1, 2)]
    volumes(tmp_path, *names)
    lines = [f"sub-{name[4]},{name}.nii.gz" for name in names]
    (tmp_path / "t.csv").write_text("\n".join(["subject,image", *lines]))
    cases = find_cases("generic", tmp_path, {"table": "t.csv"}, WHERE)
    assert [case.name for case in cases] == ["sub-1_ses-1_t1", "sub-1_ses-2_t1", "sub-2_ses-1_t1", "sub-2_ses-2_t1"]
    assert len({case.subject for case in cases}) == 2


def test_a_subject_in_two_folders_or_lines_is_a_problem(tmp_path):
    mnms(tmp_path)
    labelled = tmp_path / "Training/Labeled/A0S9V9/A0S9V9_sa.nii.gz"
    copy = tmp_path / "Training/Unlabeled/A0S9V9/A0S9V9_sa.nii.gz"
    copy.parent.mkdir()
    copy.write_bytes(labelled.read_bytes())
    with pytest.raises(
        FedFactoryError, match=r"subject A0S9V9 lies in .*Labeled/A0S9V9 and .*Unlabeled/A0S9V9; keep one"
    ):
        find_cases("mnms", tmp_path, {"vendor": "A"}, WHERE)
    copy.unlink()
    table = next(tmp_path.glob("*.csv"))
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines, lines[1]]))
    with pytest.raises(FedFactoryError, match=r"line 6: subject A0S9V9 stands in .*line 2 as well"):
        find_cases("mnms", tmp_path, {"vendor": "A"}, WHERE)


def test_frames_that_a_spreadsheet_made_floats(tmp_path):
    mnms(tmp_path, es="2.0")
    assert [case.image.frame for case in find_cases("mnms", tmp_path, {"vendor": "A"}, WHERE)][:2] == [0, 2]


def test_retinas_and_nuclei(tmp_path):
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)
    vessels = (photo[..., 1] > 128).astype(np.uint8) * 255
    for name, pixels in {
        "hrf/images/01_h.JPG": photo,
        "hrf/manual1/01_h.tif": vessels,
        "hrf/mask/01_h_mask.tif": np.full((40, 50), 255, np.uint8),
        "chase/Image_01L.jpg": photo,
        "chase/Image_01R.jpg": photo[::-1],
        "chase/Image_01L_1stHO.png": vessels > 0,
        "chase/Image_01R_1stHO.png": vessels > 0,
        "rossa/train_manual/image/1.png": photo[..., 0],
        "rossa/train_manual/label/1.png": vessels,
        "nuclei/stage1_train/ab12/images/ab12.png": photo,
        "nuclei/stage1_train/ab12/masks/1.png": np.eye(40, 50, dtype=np.uint8) * 255,
        "nuclei/stage1_train/ab12/masks/2.png": np.eye(40, 50, 9, dtype=np.uint8) * 255,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "nuclei/sites.csv").write_text("image,site\nab12,fluo\ncd34,he\n")
    (eye,) = find_cases("hrf", tmp_path / "hrf", {}, WHERE)
    read = read_case(eye, {255: 1})
    assert read.image.shape == (50, 40, 1) and read.roi.all()
    np.testing.assert_array_equal(read.label[..., 0], vessels[::-1].T > 0)
    left, right = find_cases("chasedb1", tmp_path / "chase", {"channel": "red"}, WHERE)
    assert (left.subject, right.subject) == ("01", "01") and left.name != right.name
    (scan,) = find_cases("rossa", tmp_path / "rossa", {}, WHERE)
    np.testing.assert_array_equal(read_case(scan, {255: 1}).image[..., 0], photo[::-1, :, 0].T)
    (cells,) = find_cases("bbbc038", tmp_path / "nuclei", {"site": "fluo"}, WHERE)
    assert read_case(cells, {1: 1}).label.sum() == 40 + 40, "the union of two masks"
    with pytest.raises(FedFactoryError, match="sites.csv, line 3: .*cd34/masks is missing"):
        find_cases("bbbc038", tmp_path / "nuclei", {"site": "he"}, WHERE)
    with pytest.raises(FedFactoryError, match="has no site 'blue'; it has fluo, he"):
        find_cases("bbbc038", tmp_path / "nuclei", {"site": "blue"}, WHERE)


def test_slices_of_a_series_are_one_image(tmp_path):
    """In a folder of their own, at any depth; among others they are a Problem."""
    from tests.data.test_formats import write_series

    (tmp_path / "P1/study").mkdir(parents=True)
    write_series(tmp_path / "P1/study/series")
    found = survey_cases("generic", tmp_path, {"images": "**/*"}, WHERE)
    assert [case.name for case in found.cases] == ["P1_study_series"] and not found.problems
    found = survey_cases("generic", tmp_path / "P1/study", {"images": "series"}, WHERE)
    assert len(found.problems) == 7 and all("slices of one DICOM series" in said for said in found.problems)


def test_a_folder_s_name_is_no_pattern(tmp_path):
    volumes(tmp_path, "images [1]/a", "labels/a")
    found = survey_cases("generic", tmp_path, {"images": "images [1]", "labels": "labels"}, WHERE)
    assert [case.name for case in found.cases] == ["a"] and not found.problems


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a,images/a.nii.gz,labels/a.nii.gz", "b,images/b.nii.gz,labels/a.nii.gz"], "is the label of another image"),
        (["a,images/a.nii.gz,images/a.nii.gz"], "image and label are one file"),
    ],
)
def test_every_image_has_a_label_of_its_own(tmp_path, lines, message):
    volumes(tmp_path, "images/a", "images/b", "labels/a")
    (tmp_path / "t.csv").write_text("\n".join(["subject,image,label", *lines]))
    (problem,) = survey_cases("generic", tmp_path, {"table": "t.csv"}, WHERE).problems
    assert message in problem and "t.csv" in problem
