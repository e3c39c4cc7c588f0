"""One site in files of four kinds: the same slices, the same predictions, the same scores."""

import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from PIL import Image

from fedfactory.data.adapters import find_cases
from fedfactory.data.formats import ImageFile, kept_locale
from fedfactory.data.preprocessing import prepare_client
from fedfactory.data.store import ClientView
from fedfactory.data.tiling import Tiles
from fedfactory.evaluation.scores import score_client
from fedfactory.methods.contract import predict_cases
from fedfactory.orchestration.labels import Labels
from fedfactory.orchestration.progress import Progress
from tests.conftest import write_nifti
from tests.data.test_preprocessing import TASK

PIXEL = 6 / 320
CELL = {"setup": "own", "target": "here", "method": "threshold", "seed": 0}


def made(folder: Path) -> None:
    """Ten pictures of bright discs in noise, and the discs."""
    rng = np.random.default_rng(0)
    for number in range(10):
        rows, columns = np.mgrid[:96, :80]
        disc = np.hypot(rows - 30 - 3 * number, columns - 35) < 12 + number
        picture = (60 + 90 * disc + rng.normal(0, 10, disc.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"image/{number}.png")
        Image.fromarray(disc.astype(np.uint8) * 255).save(folder / f"label/{number}.png")


def rossa(folder: Path) -> None:
    """Ten OCT angiographies of ROSSA, from ``../shared/real``."""
    release = Path(__file__).parents[3] / "shared/real/ROSSA/train_manual"
    if not release.is_dir():
        pytest.skip(f"{release} is not here")
    for number in range(1, 11):
        for kind in ("image", "label"):
            (folder / kind / f"{number}.png").symlink_to(release / kind / f"{number}.png")


def as_nifti(voxels: np.ndarray, out: Path) -> None:
    write_nifti(out.with_name(f"{out.name}.nii.gz"), voxels, np.diag([PIXEL, PIXEL, 1, 1]))


def as_itk(voxels: np.ndarray) -> SimpleITK.Image:
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(voxels.T))
    image.SetSpacing((PIXEL, PIXEL, 1))
    # ITK's axes run to the left and to the back, a picture's here to the right and to the front.
    image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))
    return image


def as_nrrd(voxels: np.ndarray, out: Path) -> None:
    SimpleITK.WriteImage(as_itk(voxels), f"{out}.nrrd", True)


def as_series(voxels: np.ndarray, out: Path) -> None:
    out.mkdir()
    plane = as_itk(voxels)[:, :, 0]
    tags = {
        "0008|0060": "CT",
        "0020|000e": f"1.2.{out.name}",
        "0020|0032": "0\\0\\0",
        "0020|0037": "-1\\0\\0\\0\\-1\\0",
        "0018|0050": "1",
    }
    for key, value in tags.items():
        plane.SetMetaData(key, value)
    with kept_locale():
        SimpleITK.WriteImage(plane, str(out / "1.dcm"))


def scores(site: Path, out: Path, options: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """Bytes of the images in the store, and of the table of a threshold's scores."""
    task = replace(
        TASK,
        label_values={255: 1},
        image_size=32,
        position_bins=1,
        tiles=Tiles(spacing_mm=0.025, count=4),
    )
    named = {"images": "image", "labels": "label", **options}
    prepare_client(
        task, find_cases("generic", site, named, task.where), out / "data", out / "truth", out / "preview.npz"
    )
    view = ClientView(out / "data", Labels(few_shot=3, validation=False, training=False))
    predict_cases(view, lambda images: (images > 0).astype(np.uint8), out / "predictions", Progress("test"))
    p = {"cell": CELL, "orientation": "RAS", "tolerance": 0.05, "planar": True}
    folders = out / "data", out / "truth", out / "predictions"
    score_client(p, Labels(few_shot=3, validation=False, training=False), *folders, out / "scores.csv")
    return (out / "data/images.npy").read_bytes(), (out / "scores.csv").read_bytes()


@pytest.mark.parametrize("site", [made, rossa])
def test_copies_of_a_site_in_other_formats_score_equal(site, tmp_path: Path):
    pictures = tmp_path / "png"
    for kind in ("image", "label"):
        (pictures / kind).mkdir(parents=True)
    site(pictures)
    expected = scores(pictures, tmp_path / "out_png", {"pixel_mm": PIXEL})
    found = [float(row["dice"]) for row in csv.DictReader(expected[1].decode().splitlines())]
    assert len(found) == 3 and min(found) > 0.5, "the threshold finds it"
    for write in (as_nifti, as_nrrd, as_series):
        copy = tmp_path / write.__name__
        for path in pictures.glob("*/*.png"):
            (copy / path.parent.name).mkdir(parents=True, exist_ok=True)
            write(ImageFile(path, pixel_mm=PIXEL).read(), copy / path.parent.name / path.stem)
        assert scores(copy, tmp_path / f"out_{write.__name__}", {}) == expected, write.__name__
