"""What lies on disk: names, bytes, affines, tables."""

import csv
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from fedfactory.errors import FedFactoryError
from fedfactory.phantoms import write_site
from fedfactory.phantoms.layouts import MNMS_COLUMNS, MNMS_TABLE
from fedfactory.phantoms.sites import MS, SITES

SMALL = {"size": 56, "slices": 8}
ALL = [(setup, client) for setup, clients in SITES.items() for client in clients]


def files(root: Path) -> list[str]:
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def contents(root: Path) -> dict[str, bytes]:
    return {name: (root / name).read_bytes() for name in files(root)}


@pytest.mark.parametrize(("setup", "client"), ALL)
def test_bytes_depend_on_seed_and_subject_only(setup, client, site, tmp_path):
    small = {}
    for seed in (1, 2):
        write_site(setup, client, tmp_path / "a" / str(seed), seed=seed, subjects=1, **SMALL)
        small[seed] = contents(tmp_path / "a" / str(seed))
    whole = contents(site(setup, client))
    volumes = {n: b for n, b in small[1].items() if not n.endswith(".csv")}
    assert volumes and all(whole[name] == data for name, data in volumes.items())
    assert not set(volumes.values()) & set(small[2].values())


@pytest.mark.parametrize(("setup", "client"), [("ms", "ge"), ("mo", "octa")])
def test_writes_nothing_outside(setup, client, tmp_path, monkeypatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    write_site(setup, client, tmp_path / "deep" / "site", seed=0, subjects=1, **SMALL)
    assert files(tmp_path) and all(name.startswith("deep/site/") for name in files(tmp_path))


@pytest.mark.parametrize(
    "change", [{"setup": "mx"}, {"client": "hitachi"}, {"subjects": 0}, {"size": 8}, {"slices": 2}]
)
def test_unknown_or_too_small_is_refused(change, tmp_path):
    arguments = {"setup": "ms", "client": "ge", "seed": 0, "subjects": 1, "size": 40, "slices": 8} | change
    with pytest.raises(FedFactoryError):
        write_site(arguments.pop("setup"), arguments.pop("client"), tmp_path / "x", **arguments)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("client", list(MS))
def test_mnms_layout(client, site):
    root = site("ms", client)
    with (root / MNMS_TABLE).open() as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == MNMS_COLUMNS and len(rows) == 6
    assert {row["Vendor"] for row in rows} == {{"siemens": "A", "philips": "B", "ge": "C", "canon": "D"}[client]}
    for row in rows:
        code = row["External code"]
        assert re.fullmatch(r"([A-Z]\d){3}", code)
        (image_path,) = root.rglob(f"{code}_sa.nii.gz")
        image = nib.load(image_path)
        assert image.ndim == 4 and image.shape[3] > max(int(row["ED"]), int(row["ES"]))
        folder = image_path.parents[1].relative_to(root).as_posix()
        assert folder in ("Training/Labeled", "Training/Unlabeled", "Validation", "Testing")
        axes = image.affine[:3, :3] / image.header.get_zooms()[:3]
        assert np.allclose(axes.T @ axes, np.eye(3), atol=1e-5) and np.linalg.det(axes) > 0
        assert nib.aff2axcodes(image.affine) == ("L", "I", "P")
        truth = image_path.with_name(f"{code}_sa_gt.nii.gz")
        assert truth.exists() == (folder != "Training/Unlabeled")
        if truth.exists():
            labels = np.asarray(nib.load(truth).dataobj)
            marked = {t for t in range(labels.shape[3]) if labels[..., t].any()}
            assert labels.shape == image.shape and marked == {int(row["ED"]), int(row["ES"])}


def test_ge_has_unlabelled_subjects(site):
    assert len(list((site("ms", "ge") / "Training" / "Unlabeled").iterdir())) == 1


@pytest.mark.parametrize(
    ("client", "prefix"), [("pdw", "fsm_pd"), ("t2w", "fsm_t2"), ("ct", "cermep_ct"), ("pet", "cermep_pet")]
)
def test_synthstrip_layout(client, prefix, site):
    root = site("mm", client)
    names = files(root)
    assert len(names) == 12
    assert all(re.fullmatch(prefix + r"_[a-z0-9]{4}/(image|mask)\.nii\.gz", name) for name in names)
    codes = set()
    for folder in root.iterdir():
        image, mask = nib.load(folder / "image.nii.gz"), nib.load(folder / "mask.nii.gz")
        assert image.shape == mask.shape and np.array_equal(image.affine, mask.affine)
        codes.add("".join(nib.aff2axcodes(image.affine)))
    assert codes == {"PIR" if client == "t2w" else "RAS"}


def test_oasis_layout(site):
    names = files(site("mo", "oasis"))
    images = [n for n in names if n.startswith("images/")]
    pattern = r"images/(OAS3\d{4})_MR_(d\d{4})/anat\d/sub-\1_ses-\2_acq-TOF(_run-01)?_angio\.nii\.gz"
    assert len(images) == 6 and all(re.fullmatch(pattern, n) for n in images)
    expected = set()
    for k, session in enumerate(sorted(n.split("/")[1] for n in images)):
        vessel = "vessel_mask.nii.gz" if k == 3 else "vessel_mask_2.nii.gz"
        expected |= {f"labels/{session}/mask.nii.gz", f"labels/{session}/{vessel}"}
    assert set(names) - set(images) == expected


def test_swi_layout(site):
    ids = [f"swi{k:03d}" for k in range(1, 7)]
    expected = [f"{i}{end}.nii.gz" for i in ids for end in ("", "_bet_mask")]
    expected += [f"mask/{i}_vessel_mask.nii.gz" for i in ids if i != "swi005"]
    assert files(site("mo", "swi")) == sorted(expected)


def test_ixi_layout(site):
    names = files(site("mo", "ixi"))
    stems = [n[: -len(".nii.gz")] for n in names if n.endswith("-MRA.nii.gz")]
    assert len(stems) == 6 and all(re.fullmatch(r"IXI\d{3}-(HH|Guys|IOP)-\d{4}-MRA", s) for s in stems)
    assert sum(n.endswith("-MRA_mask.nii.gz") for n in names) == 6
    assert sum(n.endswith("-MRA_vessel_mask2.nii.gz") for n in names) == 5 and len(names) == 17


def test_octa_layout(site):
    root = site("mo", "octa")
    folders = [f"Projection Maps/OCTA({p})" for p in ("FULL", "ILM_OPL", "OPL_BM")]
    folders += ["Label/GT_LargeVessel", "Label/GT_Capillary"]
    assert files(root) == sorted(f"OCTA_3mm/{f}/{10301 + k}.bmp" for f in folders for k in range(6))
    for path in root.rglob("*.bmp"):
        image = Image.open(path)
        assert image.mode == "L"
        if "Label" in path.parts:
            assert set(np.unique(np.asarray(image)).tolist()) == {0, 255}
