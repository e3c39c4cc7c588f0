"""Writers: each release's folders, file names and tables, around the scans."""

import csv
import gzip
import io
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

from fedfactory.phantoms.grid import Grid
from fedfactory.phantoms.scans import PROJECTIONS, Scan, Subject, scan_head, scan_heart, scan_retina, scan_vessels
from fedfactory.phantoms.sites import CINE

MNMS_TABLE = "211230_M&Ms_Dataset_information_diagnosis_opendataset.csv"
MNMS_COLUMNS = (
    "External code", "VendorName", "Vendor", "Centre", "ED", "ES", "Age", "Pathology", "Sex", "Height", "Weight",
)  # fmt: skip
# Subjects without labels are among the first sixteen of a site: a test set may be as large as one likes.
_LABELLED_FROM = 16
# Folder of subject k is entry k modulo 8, near the proportions of the release.
_UNLABELLED = "Training/Unlabeled"
MNMS_FOLDERS = {
    "siemens": ("Training/Labeled",) * 6 + ("Validation", "Testing"),
    "philips": ("Training/Labeled",) * 5 + ("Validation", "Testing", "Testing"),
    "ge": ("Validation", "Testing", "Testing", _UNLABELLED, "Testing", "Testing", "Validation", "Testing"),
    "canon": ("Testing", "Testing", "Validation") + ("Testing",) * 5,
}


def save_nifti(path: Path, voxels: np.ndarray, affine: np.ndarray) -> None:
    """Write voxels as compressed NIfTI-1 without a time stamp, so that the same voxels give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(voxels, affine)
    image.header.set_xyzt_units("mm", "sec" if voxels.ndim == 4 else None)
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=buffer, mtime=0) as stream:
        stream.write(image.to_bytes())
    path.write_bytes(buffer.getvalue())


def head_affine(grid: Grid) -> np.ndarray:
    """Affine (4, 4), RAS mm, of voxels indexed (column, row, slice), i.e. running to L, P, S."""
    affine = np.diag([-grid.spacing, -grid.spacing, grid.thickness, 1.0])
    extent = np.array([grid.cols - 1, grid.rows - 1, grid.slices - 1]) / 2
    affine[:3, 3] = -affine[:3, :3].diagonal() * extent + (0, 0, grid.z0)
    return affine


def short_axis_affine(grid: Grid, rng: np.random.Generator) -> np.ndarray:
    """Oblique orthonormal affine of a short-axis stack indexed (column, row, slice), slice 0 at the apex.

    The long axis points to the patient's back, right and head, with a few degrees of variation; the nearest axes are
    always L, I, P. The basis is right-handed: no mirrored hearts.
    """
    base = np.array([-0.45, 0.75, 0.48]) + rng.normal(0, 0.05, 3)  # LPS
    base /= np.sqrt((base**2).sum())
    down = np.array([0.0, 0.0, -1.0])
    down -= (down * base).sum() * base
    down /= np.sqrt((down**2).sum())
    basis = np.stack([np.cross(down, base), down, base], axis=1) * np.array([[-1.0], [-1.0], [1.0]])  # to RAS
    affine = np.eye(4)
    affine[:3, :3] = basis * (grid.spacing, grid.spacing, grid.thickness)
    extent = np.array([grid.cols - 1, grid.rows - 1, grid.slices - 1]) / 2
    affine[:3, 3] = np.array([25.0, 20.0, 10.0]) - (affine[:3, :3] * extent).sum(axis=1)
    return affine


def reorient(voxels: np.ndarray, affine: np.ndarray, codes: str) -> tuple[np.ndarray, np.ndarray]:
    """Permute and flip axes to an orientation such as ``"PIR"``; voxels keep their place in the world."""
    change = nib.orientations.ornt_transform(nib.io_orientation(affine), nib.orientations.axcodes2ornt(tuple(codes)))
    moved = np.ascontiguousarray(nib.orientations.apply_orientation(voxels, change))
    return moved, affine @ nib.orientations.inv_ornt_aff(change, voxels.shape)


def _external_code(client: str, index: int) -> str:
    """A code like A0S9V9, unique over the clients: a bijection of (client, index)."""
    number = (5_003_411 * (index + 1) + 4_211_057 * list(CINE).index(client)) % 26**3 * 1000 + (
        617 * (index + 1) + 250 * list(CINE).index(client)
    ) % 1000
    letters, digits = divmod(number, 1000)
    a, b, c = letters // 676, letters // 26 % 26, letters % 26
    text = f"{digits:03d}"
    return "".join(chr(65 + n) + d for n, d in zip((a, b, c), text, strict=True))


def write_mnms(out: Path, subject: Subject, size: int, slices: int) -> dict[str, object]:
    """Write one M&Ms subject; return its row of the information table."""
    scan = scan_heart(subject, size, slices)
    code = _external_code(subject.client, subject.index)
    folder = MNMS_FOLDERS[subject.client][subject.index % 8]
    if folder == _UNLABELLED and subject.index >= _LABELLED_FROM:
        folder = "Training/Labeled"
    rng = subject.stream("table")
    affine = short_axis_affine(scan.grid, rng)
    place = out / folder / code
    save_nifti(place / f"{code}_sa.nii.gz", scan.image.transpose(3, 2, 1, 0), affine)
    if folder != _UNLABELLED:
        save_nifti(place / f"{code}_sa_gt.nii.gz", scan.label.transpose(3, 2, 1, 0), affine)
    sequence, sex = CINE[subject.client], rng.choice(("F", "M"))
    assert scan.heart is not None
    height = rng.normal(164 if sex == "F" else 177, 8)
    values = (
        code, sequence.vendor_name, sequence.vendor, sequence.centres[subject.index % len(sequence.centres)],
        scan.ed, scan.es, int(rng.integers(18, 82)), scan.heart.pathology, sex, round(height),
        round((height / 100) ** 2 * rng.uniform(19, 33)),
    )  # fmt: skip
    return dict(zip(MNMS_COLUMNS, values, strict=True))


def write_mnms_table(out: Path, rows: list[dict[str, object]]) -> None:
    """Write the information table of a site, ordered by code."""
    with (out / MNMS_TABLE).open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, MNMS_COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(sorted(rows, key=lambda row: str(row["External code"])))


SYNTHSTRIP = {
    "pdw": ("fsm_pd", "RAS"),
    "t2w": ("fsm_t2", "PIR"),
    "ct": ("cermep_ct", "RAS"),
    "pet": ("cermep_pet", "RAS"),
}


def write_synthstrip(out: Path, subject: Subject, size: int, slices: int) -> None:
    """Write one SynthStrip subject folder with image and mask."""
    scan = scan_head(subject, size, slices)
    prefix, codes = SYNTHSTRIP[subject.client]
    tag = subject.stream("name").choice(list("abcdefghjkmnpqrstuvwxyz"), 2)
    place = out / f"{prefix}_{subject.index + 1:02d}{''.join(tag)}"
    affine = head_affine(scan.grid)
    for name, voxels in (("image", scan.image), ("mask", scan.label)):
        save_nifti(place / f"{name}.nii.gz", *reorient(voxels.transpose(2, 1, 0), affine, codes))


def _vessel_volumes(subject: Subject, size: int, slices: int) -> tuple[Scan, list]:
    scan = scan_vessels(subject, size, slices)
    affine = head_affine(scan.grid)
    assert scan.brain is not None
    arrays = (scan.image, scan.brain, scan.label)
    return scan, [reorient(a.transpose(2, 1, 0), affine, "RAS") for a in arrays]


def write_oasis(out: Path, subject: Subject, size: int, slices: int) -> None:
    """Write one OASIS-3 session below ``images`` and its masks below ``labels``."""
    _, (image, brain, vessel) = _vessel_volumes(subject, size, slices)
    rng, k = subject.stream("name"), subject.index
    person, day, run = f"OAS3{13 * k + 1:04d}", f"d{int(rng.integers(0, 5000)):04d}", rng.random() < 0.3
    session, anat = f"{person}_MR_{day}", f"anat{int(rng.integers(1, 6))}"
    name = f"sub-{person}_ses-{day}_acq-TOF{'_run-01' if run else ''}_angio.nii.gz"
    save_nifti(out / "images" / session / anat / name, *image)
    save_nifti(out / "labels" / session / "mask.nii.gz", *brain)
    first = "vessel_mask.nii.gz" if k % 5 == 3 else "vessel_mask_2.nii.gz"
    save_nifti(out / "labels" / session / first, *vessel)


def write_swi(out: Path, subject: Subject, size: int, slices: int) -> None:
    """Write one SWI venography; every sixth of the first subjects has no vessel mask."""
    _, (image, brain, vessel) = _vessel_volumes(subject, size, slices)
    name = f"swi{subject.index + 1:03d}"
    save_nifti(out / f"{name}.nii.gz", *image)
    save_nifti(out / f"{name}_bet_mask.nii.gz", *brain)
    if subject.index % 6 != 4 or subject.index >= _LABELLED_FROM:
        save_nifti(out / "mask" / f"{name}_vessel_mask.nii.gz", *vessel)


def write_ixi(out: Path, subject: Subject, size: int, slices: int) -> None:
    """Write one IXI MRA; every sixth of the first subjects has no vessel mask."""
    _, (image, brain, vessel) = _vessel_volumes(subject, size, slices)
    rng = subject.stream("name")
    centre, number = rng.choice(("HH", "Guys", "IOP")), int(rng.integers(700, 2800))
    name = f"IXI{12 + 3 * subject.index:03d}-{centre}-{number:04d}-MRA"
    save_nifti(out / f"{name}.nii.gz", *image)
    save_nifti(out / f"{name}_mask.nii.gz", *brain)
    if subject.index % 6 != 3 or subject.index >= _LABELLED_FROM:
        save_nifti(out / f"{name}_vessel_mask2.nii.gz", *vessel)


def write_octa(out: Path, subject: Subject, size: int, slices: int) -> None:
    """Write one OCTA-500 subject of the 3 mm field in the newer layout; ``slices`` has no meaning here."""
    scan = scan_retina(subject, size)
    root, name = out / "OCTA_3mm", f"{10301 + subject.index}.bmp"
    for projection in PROJECTIONS:
        _save_bitmap(root / "Projection Maps" / f"OCTA({projection})" / name, scan.projections[projection])
    _save_bitmap(root / "Label" / "GT_LargeVessel" / name, scan.large * np.uint8(255))
    _save_bitmap(root / "Label" / "GT_Capillary" / name, scan.capillary * np.uint8(255))


def _save_bitmap(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels, mode="L").save(path, format="BMP")
