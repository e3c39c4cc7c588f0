"""What the images show: classes, rings, empty ends, polarity, variation."""

import csv

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from fedfactory.phantoms.layouts import MNMS_TABLE
from fedfactory.phantoms.sites import MM, MS


def hearts(root):
    """Yield label volumes (rows, cols, slices) at end diastole and end systole."""
    with (root / MNMS_TABLE).open() as stream:
        for row in csv.DictReader(stream):
            for path in root.rglob(f"{row['External code']}_sa_gt.nii.gz"):
                labels = np.asarray(nib.load(path).dataobj)
                yield labels[..., int(row["ED"])], labels[..., int(row["ES"])]


def heads(root):
    """Yield (image, mask) in a common orientation, slices last."""
    for folder in sorted(root.iterdir()):
        pair = (nib.as_closest_canonical(nib.load(folder / f"{n}.nii.gz")) for n in ("image", "mask"))
        yield tuple(np.asarray(p.dataobj).astype(float) for p in pair)


@pytest.mark.parametrize("client", list(MS))
def test_heart(client, site):
    areas = []
    for ed, es in hearts(site("ms", client)):
        for frame in (ed, es):
            assert set(np.unique(frame)) == {0, 1, 2, 3}
            assert not frame[..., 0].any() and not frame[..., -1].any()
            # Myocardium rings the ventricle: hardly any LV voxel touches what is neither.
            grown = ndimage.binary_dilation(frame == 1, np.ones((3, 3, 1)))
            touched = frame[grown & (frame != 1)]
            assert (touched == 2).mean() > 0.75
            # The right ventricle has a side: left in the image, i.e. at lower column index.
            columns = np.arange(frame.shape[0])[:, None, None]
            assert (columns * (frame == 3)).sum() / (frame == 3).sum() < (columns * (frame == 1)).sum() / (
                frame == 1
            ).sum()
        assert (es == 1).sum() < (ed == 1).sum()
        areas.append([(ed == k).sum() for k in (1, 2, 3)])
    variation = np.std(areas, axis=0) / np.mean(areas, axis=0)
    assert np.all(variation > 0.1)


@pytest.mark.parametrize("client", list(MM))
def test_brain(client, site):
    volumes, roundness = [], []
    for _, mask in heads(site("mm", client)):
        assert set(np.unique(mask)) == {0, 1}
        assert not mask[..., 0].any() and not mask[..., -1].any()
        volumes.append(mask.sum())
        extent = [np.ptp(np.nonzero(mask.any(axis=(1 - a, 2)))[0]) + 1 for a in (0, 1)]
        roundness.append(extent[0] / extent[1])
    assert np.std(volumes) / np.mean(volumes) > 0.04
    assert np.std(roundness) > 0.01


def test_head_contrast(site):
    """Bone is dark in PD and bright in CT; FDG lights the brain against its surroundings."""
    for client, sign in (("pdw", -1), ("ct", 1)):
        for image, mask in heads(site("mm", client)):
            middle = mask[..., 4] > 0
            ring = ndimage.binary_dilation(middle, iterations=4) & ~ndimage.binary_dilation(middle, iterations=1)
            extreme = np.percentile(sign * image[..., 4][ring], 90)
            assert extreme > np.median(sign * image[..., 4][middle])
    for image, mask in heads(site("mm", "pet")):
        assert image[mask > 0].mean() > 3 * image[mask == 0].mean()


@pytest.mark.parametrize(
    ("client", "label", "sign"), [("oasis", "", 1), ("ixi", "_vessel_mask2", 1), ("swi", "_vessel_mask", -1)]
)
def test_vessel_polarity(client, label, sign, site):
    """Arteries are brighter than their surroundings in TOF, veins darker in SWI."""
    root = site("mo", client)
    areas = []
    for path in root.rglob("vessel_mask*" if client == "oasis" else f"*{label}.nii.gz"):
        if client == "oasis":
            (image_path,) = (root / "images" / path.parent.name).rglob("*_angio.nii.gz")
        else:
            image_path = root / path.name.replace(label, "")
        image, vessel = (np.asarray(nib.load(p).dataobj).astype(float) for p in (image_path, path))
        core = vessel > 0
        around = ndimage.binary_dilation(core, np.ones((5, 5, 1))) & ~ndimage.binary_dilation(core, np.ones((3, 3, 1)))
        assert core.any()
        assert sign * (np.median(image[core]) - np.median(image[around])) > 0
        areas.append(core.sum())
    assert len(areas) >= 5 and np.std(areas) / np.mean(areas) > 0.05


def test_octa_labels_large_vessels_only(site):
    root = site("mo", "octa") / "OCTA_3mm"
    areas = []
    for path in sorted((root / "Label" / "GT_LargeVessel").iterdir()):
        read = lambda folder, name=path.name: np.asarray(Image.open(root / folder / name)).astype(float)  # noqa: E731
        large, capillary = read("Label/GT_LargeVessel") > 0, read("Label/GT_Capillary") > 0
        image = read("Projection Maps/OCTA(ILM_OPL)")
        background = ~large & ~capillary
        assert large.any() and not (large & capillary).any()
        assert image[large].mean() > image[capillary].mean() > image[background].mean()
        areas.append(large.mean())
    assert np.std(areas) / np.mean(areas) > 0.05
