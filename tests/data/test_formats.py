"""Files of every kind: one volume is the same in all of them, and what is absurd is refused before it is read."""

import gzip
import locale
import os
import re
import struct
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import SimpleITK
from PIL import Image

from fedfactory.data.formats import ImageFile, ending_of, kept_locale, stem_of
from fedfactory.data.formats.dicom import slice_files
from fedfactory.data.formats.masks import write_mask
from fedfactory.errors import FedFactoryError
from tests.conftest import ball_volume, write_nifti

AFFINE = np.array([[-0.8, 0, 0, 5], [0, -0.7, 0, 3], [0, 0, 3, -7], [0, 0, 0, 1.0]])
VOXELS = ball_volume()[0].round().astype(np.int16)


def as_itk() -> SimpleITK.Image:
    """The volume with ITK's axes, which run to the left and to the back."""
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(VOXELS.T))
    image.SetSpacing((0.8, 0.7, 3))
    image.SetOrigin((-5, -3, -7))
    return image


def write_series(folder: Path, uid: str = "1.2.3", skip: int | None = None, modality: str = "CT") -> Path:
    """The volume as a DICOM series, its files in no order."""
    with kept_locale():
        _write_series(folder, uid, skip, modality)
    return folder


def _write_series(folder: Path, uid: str, skip: int | None, modality: str) -> None:
    folder.mkdir(exist_ok=True)
    image, writer = as_itk(), SimpleITK.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for number in range(image.GetSize()[2]):
        if number == skip:
            continue
        plane = image[:, :, number]
        tags = {
            "0008|0060": modality,
            "0008|0018": f"{uid}.{number}",
            "0020|000e": uid,
            "0020|000d": "1.2",
            "0020|0013": str(number),
            "0020|0052": "1.2.9",
            "0020|0032": f"-5\\-3\\{-7 + 3 * number}",
            "0020|0037": "1\\0\\0\\0\\1\\0",
            "0018|0050": "3",
        }
        for key, value in tags.items():
            plane.SetMetaData(key, value)
        writer.SetFileName(str(folder / f"{(7 * number) % 11:02d}_{uid}.dcm"))
        writer.Execute(plane)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".NII.GZ", ".Nii", ".mha", ".mhd", ".nrrd", ".nhdr", "series"])
def test_one_volume_is_the_same_in_every_format(ending: str, tmp_path: Path):
    path = tmp_path / f"a{ending}"
    if ending == "series":
        write_series(path)
    elif "nii" in ending.lower():
        write_nifti(tmp_path / f"a{ending.lower()}", VOXELS, AFFINE).rename(path)
    else:
        SimpleITK.WriteImage(as_itk(), str(path))
    file = ImageFile(path)
    header = file.header()
    assert header.shape == VOXELS.shape
    np.testing.assert_allclose(header.affine, AFFINE, atol=1e-6)
    np.testing.assert_allclose(header.spacing, (0.8, 0.7, 3), rtol=1e-6)
    np.testing.assert_array_equal(file.read(), VOXELS)
    assert locale.getencoding() == "UTF-8", "what is written afterwards may hold any letter"
    assert all(used.is_file() for used in file.paths) and (len(file.paths) == 2) == (ending in (".mhd", ".nhdr"))


def test_names_are_split_at_the_longest_ending_that_is_known():
    names = ("a.nii.gz", "b.NII", "1.2.3.mha", "x.txt", "scan.v2.JPG")
    assert [(stem_of(name), ending_of(name)) for name in names] == [
        ("a", ".nii.gz"),
        ("b", ".nii"),
        ("1.2.3", ".mha"),
        ("x.txt", ""),
        ("scan.v2", ".jpg"),
    ]


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((6, 5), (6, 5, 1)), ((6, 5, 1), (6, 5, 1)), ((6, 5, 4, 1), (6, 5, 4)), ((6, 5, 4, 1, 1), (6, 5, 4))],
)
def test_axes_of_one_say_nothing(shape: tuple[int, ...], axes: tuple[int, ...], tmp_path: Path):
    data = np.random.default_rng(0).random(shape).astype(np.float32)
    file = ImageFile(write_nifti(tmp_path / "a.nii.gz", data))
    assert file.header().shape == axes
    np.testing.assert_array_equal(file.read(), data.reshape(axes))


def test_a_frame_of_a_file_with_several(tmp_path: Path):
    data = np.random.default_rng(0).random((6, 5, 4, 3)).astype(np.float32)
    cine = write_nifti(tmp_path / "cine.nii.gz", data)
    np.testing.assert_array_equal(ImageFile(cine, frame=2).read(), data[..., 2])
    flat = write_nifti(tmp_path / "flat.nii.gz", data[..., 0])
    for path, frame, message in (
        (cine, 3, "frame 3 is asked for"),
        (flat, 0, "frame 0 is asked for"),
        (cine, None, "2D or 3D"),
    ):
        for look in (ImageFile(path, frame=frame).header, ImageFile(path, frame=frame).read):
            with pytest.raises(FedFactoryError, match=message):
                look()


def header_of(path: Path, **fields: object) -> Path:
    """A NIfTI file with fields of its header changed."""
    image = nibabel.Nifti1Image(VOXELS, None)
    image.header.set_qform(AFFINE, code=int(fields.pop("qform_code", 1)))
    image.header.set_sform(fields.pop("sform", AFFINE), code=int(fields.pop("sform_code", 1)))
    for name, value in fields.items():
        image.header[name] = value
    nibabel.save(nibabel.Nifti1Image(VOXELS, None, image.header), path)
    return path


TURNED = AFFINE[:, [1, 0, 2, 3]]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sform": np.eye(4)}, r"says 0.8 x 0.7 x 3 mm a voxel \(pixdim\) and 1 x 1 x 1 mm \(sform\)"),
        ({"sform": np.eye(4), "qform_code": 0}, "find out which is true"),
        ({"sform": TURNED @ np.diag([0.8 / 0.7, 0.7 / 0.8, 1, 1])}, "turn the image in two ways"),
        ({"xyzt_units": 7}, "unknown unit .xyzt_units 7."),
        ({"xyzt_units": 1}, "its affine is not usable"),
    ],
)
def test_a_header_that_contradicts_itself_is_refused(fields: dict, message: str, tmp_path: Path):
    path = header_of(tmp_path / "a.nii.gz", **fields)
    for look in (ImageFile(path).header, ImageFile(path).read):
        with pytest.raises(FedFactoryError, match=f"a.nii.gz: .*{message}"):
            look()


@pytest.mark.parametrize(
    ("fields", "spacing"),
    [
        ({}, (0.8, 0.7, 3)),
        ({"sform_code": 0}, (0.8, 0.7, 3)),
        ({"sform": AFFINE + np.array([[0, 0, 0, 20]] * 3 + [[0] * 4]), "sform_code": 2}, (0.8, 0.7, 3)),
        ({"xyzt_units": 0}, (0.8, 0.7, 3)),
    ],
)
def test_a_header_that_agrees_with_itself_is_believed(fields: dict, spacing: tuple, tmp_path: Path):
    np.testing.assert_allclose(
        ImageFile(header_of(tmp_path / "a.nii.gz", **fields)).header().spacing, spacing, rtol=1e-6
    )


def test_lengths_in_other_units_become_millimetres(tmp_path: Path):
    affine = np.diag([25.0, 25, 50, 1])
    image = nibabel.Nifti1Image(VOXELS, affine)
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / "a.nii")
    np.testing.assert_allclose(ImageFile(tmp_path / "a.nii").header().spacing, (0.025, 0.025, 0.05))


def patched(path: Path, offset: int, kind: str, *values: float) -> Path:
    """A NIfTI file with bytes of its header changed."""
    raw = bytearray(gzip.decompress(write_nifti(path, VOXELS).read_bytes()))
    struct.pack_into(kind, raw, offset, *values)
    path.write_bytes(gzip.compress(bytes(raw)))
    return path


def fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def broken_link(path: Path) -> Path:
    path.symlink_to("gone.nii.gz")
    return path


def bomb(path: Path) -> Path:
    path.write_bytes(gzip.compress(gzip.decompress(write_nifti(path, VOXELS).read_bytes()) + bytes(50_000_000)))
    return path


def empty(path: Path) -> Path:
    path.touch()
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda path: patched(path, 40, "<8h", 3, 32767, 32767, 32767, 1, 1, 1, 1),
            "32767 x 32767 x 32767 voxels, more",
        ),
        (lambda path: patched(path, 40, "<8h", 3, 24, 0, 8, 1, 1, 1, 1), "a.nii.gz: "),
        (lambda path: patched(path, 70, "<h", 26996), "cannot be read"),
        (lambda path: patched(path, 112, "<2f", 2.0, float("inf")), "cannot be read"),
        (lambda path: patched(path, 108, "<f", 10.0), "cannot be read"),
        (fifo, "is no regular file"),
        (broken_link, "is a link to gone.nii.gz, which is missing"),
        (bomb, "holds more bytes than its header says"),
        (empty, "is empty"),
        (lambda path: path, "is missing"),
    ],
)
def test_absurd_files_end_in_a_sentence(make, message: str, tmp_path: Path):
    with pytest.raises(FedFactoryError, match=f"a.nii.gz: .*{message}|{message}") as error:
        ImageFile(make(tmp_path / "a.nii.gz")).read()
    assert "a.nii.gz" in str(error.value)


def test_the_largest_file_is_what_the_configuration_says(tmp_path: Path):
    path = write_nifti(tmp_path / "a.nii.gz", VOXELS)
    assert ImageFile(path, largest=VOXELS.size).header().shape == VOXELS.shape
    with pytest.raises(FedFactoryError, match="data.largest_mvoxel"):
        ImageFile(path, largest=VOXELS.size - 1).header()


def test_a_series_that_is_not_whole_is_refused(tmp_path: Path):
    with pytest.raises(FedFactoryError, match="its slices lie 3 to 6 mm apart"):
        ImageFile(write_series(tmp_path / "gap", skip=3)).header()
    write_series(write_series(tmp_path / "two"), uid="1.2.4")
    with pytest.raises(FedFactoryError, match=r"two: holds 2 DICOM series \(1.2.3.*1.2.4"):
        ImageFile(tmp_path / "two").header()
    (tmp_path / "none").mkdir()
    with pytest.raises(FedFactoryError, match="none: holds no DICOM series"):
        ImageFile(tmp_path / "none").header()


def test_voxels_beside_a_header_lie_beside_it(tmp_path: Path):
    SimpleITK.WriteImage(as_itk(), str(tmp_path / "a.mhd"))
    (tmp_path / "b").mkdir()
    text = (tmp_path / "a.mhd").read_text()
    for name in ("../a.raw", "/etc/passwd", "LIST", "a%03d.raw"):
        (tmp_path / "b/a.mhd").write_text(text.replace("a.raw", name))
        with pytest.raises(FedFactoryError, match="name one file beside it"):
            ImageFile(tmp_path / "b/a.mhd").read()


PIXELS = np.random.default_rng(0).integers(0, 255, (5, 7), dtype=np.uint8)


@pytest.mark.parametrize(
    ("ending", "pixels"),
    [
        (".png", PIXELS),
        (".png", PIXELS.astype(np.uint16) * 200),
        (".tif", PIXELS),
        (".tif", PIXELS.astype(np.uint16) * 200),
        (".tiff", PIXELS.astype(np.float32) / 7),
        (".bmp", PIXELS),
        (".png", PIXELS > 100),
    ],
)
def test_pictures_keep_their_values(ending: str, pixels: np.ndarray, tmp_path: Path):
    Image.fromarray(pixels).save(tmp_path / f"a{ending}")
    file = ImageFile(tmp_path / f"a{ending}", pixel_mm=0.025)
    assert file.header().shape == (7, 5, 1)
    np.testing.assert_allclose(file.header().affine, np.diag([0.025, 0.025, 1, 1]))
    values = pixels * 255 if pixels.dtype == bool else pixels
    np.testing.assert_array_equal(file.read()[..., 0], values[::-1].T)


def test_colours_are_chosen(tmp_path: Path):
    colours = np.random.default_rng(0).integers(0, 255, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(colours).save(tmp_path / "a.png")
    for number, channel in enumerate(("red", "green", "blue")):
        found = ImageFile(tmp_path / "a.png", channel=channel, pixel_mm=1).read()
        np.testing.assert_array_equal(found[..., 0], colours[::-1, :, number].T)
    grey = np.asarray(Image.open(tmp_path / "a.png").convert("L"))
    np.testing.assert_array_equal(
        ImageFile(tmp_path / "a.png", channel="grey", pixel_mm=1).read()[..., 0], grey[::-1].T
    )
    Image.fromarray(np.repeat(PIXELS[..., None], 3, -1)).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(ImageFile(tmp_path / "grey.png", pixel_mm=1).read()[..., 0], PIXELS[::-1].T)


def pages(path: Path) -> None:
    Image.fromarray(PIXELS).save(path, save_all=True, append_images=[Image.fromarray(PIXELS)])


def turned(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(path, exif=exif)


def deep_colours(path: Path) -> None:
    """As Pillow does not write: 16 bits of red, green and blue."""
    image = SimpleITK.GetImageFromArray(np.dstack([PIXELS.astype(np.uint16) * 200] * 3), isVector=True)
    SimpleITK.WriteImage(image, str(path))


def white_is_zero(path: Path) -> None:
    Image.fromarray(PIXELS.astype(np.uint16)).save(path, tiffinfo={262: 0})
    with Image.open(path) as picture:
        assert picture.tag_v2[262] == 0


@pytest.mark.parametrize(
    ("name", "make", "options", "message"),
    [
        ("a.tif", pages, {}, "holds 2 pages"),
        ("a.jpg", turned, {}, "is stored turned"),
        ("a.png", lambda path: Image.fromarray(PIXELS).save(path), {"pixel_mm": None}, "option 'pixel_mm'"),
        ("a.png", lambda path: Image.fromarray(PIXELS).save(path), {"channel": "red"}, "has no channel 'red'"),
        (
            "a.png",
            lambda path: Image.fromarray(np.dstack([PIXELS] * 2 + [PIXELS.T.reshape(5, 7)])).save(path),
            {},
            "choose",
        ),
        ("a.png", lambda path: path.write_bytes(b"GIF89a" + bytes(9)), {}, "cannot be read"),
        ("a.xyz", lambda path: path.write_bytes(b"x"), {}, "files of this ending are not read"),
        (
            "a.png",
            lambda path: Image.fromarray(np.dstack([PIXELS * 0 + 255] * 3 + [PIXELS])).save(path),
            {},
            "transparent",
        ),
        ("a.png", deep_colours, {"channel": "red"}, "16 bits of each colour"),
        ("a.tif", white_is_zero, {}, "16 bits a pixel .* are not read"),
    ],
)
def test_pictures_that_are_refused(name: str, make, options: dict, message: str, tmp_path: Path):
    make(tmp_path / name)
    with pytest.raises(FedFactoryError, match=f"{name}: .*{message}"):
        ImageFile(tmp_path / name, **{"pixel_mm": 1.0, **options}).read()


MASK = (VOXELS > 100).astype(np.uint8) * 3


@pytest.mark.parametrize("ending", [".nii", ".NII.GZ", ".mha", ".mhd", ".nrrd", ".nhdr"])
def test_a_mask_is_written_in_the_format_and_place_of_its_image(ending: str, tmp_path: Path):
    path = tmp_path / f"a{ending}"
    if "nii" in ending.lower():
        write_nifti(tmp_path / f"a{ending.lower()}", VOXELS, AFFINE).rename(path)
    else:
        SimpleITK.WriteImage(as_itk(), str(path))
    (tmp_path / "out").mkdir()
    written = ImageFile(write_mask(MASK, ImageFile(path), tmp_path / "out", "mask", {3: "ball"}))
    np.testing.assert_array_equal(written.read(), MASK)
    np.testing.assert_allclose(written.header().affine, AFFINE, atol=1e-6)


@pytest.mark.parametrize(("ending", "own"), [(".png", ".png"), (".tif", ".tif"), (".jpg", ".png"), (".bmp", ".bmp")])
def test_a_mask_of_a_picture_lies_on_its_pixels(ending: str, own: str, tmp_path: Path):
    Image.fromarray(PIXELS).save(tmp_path / f"a{ending}")
    image = ImageFile(tmp_path / f"a{ending}", pixel_mm=0.5)
    mask = (image.read() > 120).astype(np.uint8) * 255
    written = write_mask(mask, image, tmp_path, "mask", {255: "vessel"})
    assert written.name == f"mask{own}"
    np.testing.assert_array_equal(ImageFile(written, pixel_mm=0.5).read(), mask)


def test_a_mask_of_a_series_is_a_dicom_segmentation(tmp_path: Path):
    from pydicom import dcmread

    series = ImageFile(write_series(tmp_path / "series"))
    mask = np.where(VOXELS > 100, 1, 0).astype(np.uint8)
    mask[:4] = 2
    written = write_mask(mask, series, tmp_path, "mask", {1: "ball", 2: "left part"})
    found = dcmread(written)
    assert found.Modality == "SEG" and found.FrameOfReferenceUID == dcmread(slice_files(series)[0]).FrameOfReferenceUID
    assert [segment.SegmentLabel for segment in found.SegmentSequence] == ["ball", "left part"]
    back = np.zeros_like(mask)
    for frame, pixels in zip(found.PerFrameFunctionalGroupsSequence, found.pixel_array, strict=True):
        height = float(frame.PlanePositionSequence[0].ImagePositionPatient[2])
        back[:, :, round((height + 7) / 3)][pixels.T > 0] = frame.SegmentIdentificationSequence[
            0
        ].ReferencedSegmentNumber
    np.testing.assert_array_equal(back, mask)


def test_a_slice_at_the_end_of_a_series_is_not_lost(tmp_path: Path):
    """GDCM passes over what it cannot read."""
    series = ImageFile(write_series(tmp_path / "whole"))
    last = max(series.paths, key=lambda path: path.name)
    raw = last.read_bytes()
    for damaged, said in (
        (raw[:-300], "lies among the slices"),
        (b"<html>", "lies among the slices"),
        (b"", "is empty"),
    ):
        last.write_bytes(damaged)
        with pytest.raises(FedFactoryError, match=f"{last.name}: {said}"):
            series.read()
    last.unlink()
    last.symlink_to(tmp_path / "gone.dcm")
    with pytest.raises(FedFactoryError, match=f"{last.name}: is a link to {tmp_path / 'gone.dcm'}, which is missing"):
        series.header()
    last.unlink()
    last.write_bytes(raw)
    (series.path / "a_note.txt").write_text("seen by AB")
    assert series.header().shape == VOXELS.shape and series.path / "a_note.txt" not in series.paths
    (series.path / "more").mkdir()
    with pytest.raises(FedFactoryError, match="more: lies among the slices"):
        series.read()


@pytest.mark.parametrize("ending", [".mha", ".mhd", ".nrrd", ".nhdr"])
def test_the_checksum_of_compressed_voxels_is_looked_at(ending: str, tmp_path: Path):
    """ITK says "Uncompress failed" and goes on."""
    path = tmp_path / f"a{ending}"
    SimpleITK.WriteImage(as_itk(), str(path), True)
    file = ImageFile(path)
    assert file.read().shape == VOXELS.shape
    data = file.paths[-1]
    raw = bytearray(data.read_bytes())
    raw[-len(raw) // 4] ^= 85
    data.write_bytes(raw)
    with pytest.raises(FedFactoryError, match=path.name):
        file.read()


@pytest.mark.parametrize(
    ("ending", "old", "new", "spacing"),
    [
        (".mha", b"ElementSpacing", b"DistanceUnits = um\nElementSpacing", 0.0008),
        (".mha", b"ElementSpacing", b"DistanceUnits = cm\nElementSpacing", 8),
        (".nrrd", b"kinds:", b'space units: "um" "um" "um"\nkinds:', 0.0008),
        (".mha", b"ElementSpacing", b"DistanceUnits = inch\nElementSpacing", 'lengths in "inch"'),
        (".mha", b"ElementSpacing", b"ElementToIntensityFunctionSlope = 2\nElementSpacing", "store the values"),
        (".nrrd", b"left-posterior-superior", b"scanner-xyz", "its space is 'scanner-xyz'"),
        (".nrrd", b"space: left-posterior-superior", b"space dimension: 3", "where right, front and top are"),
        (".nrrd", b"(0,0,3)", b"none", "along every axis"),
    ],
)
def test_headers_of_itk_are_believed_whole(ending: str, old: bytes, new: bytes, spacing: Any, tmp_path: Path):
    path = tmp_path / f"a{ending}"
    SimpleITK.WriteImage(as_itk(), str(path))
    raw = path.read_bytes()
    assert old in raw
    path.write_bytes(raw.replace(old, new, 1))
    if isinstance(spacing, str):
        with pytest.raises(FedFactoryError, match=f"{path.name}: .*{re.escape(spacing)}"):
            ImageFile(path).header()
    else:
        assert ImageFile(path).header().spacing[0] == pytest.approx(spacing)


def test_voxels_do_not_begin_inside_of_the_header(tmp_path: Path):
    path = write_nifti(tmp_path / "a.nii", VOXELS, AFFINE)
    raw = bytearray(path.read_bytes())
    raw[108:112] = struct.pack("<f", 0)
    path.write_bytes(raw)
    with pytest.raises(FedFactoryError, match="begin inside of its header"):
        ImageFile(path).read()


def test_large_numbers_of_a_small_unit_are_a_plausible_size(tmp_path: Path):
    image = nibabel.Nifti1Image(VOXELS, np.diag([800.0, 700, 3000, 1]))
    image.header.set_xyzt_units("micron")
    nibabel.save(image, tmp_path / "a.nii")
    np.testing.assert_allclose(ImageFile(tmp_path / "a.nii").header().spacing, [0.8, 0.7, 3], rtol=1e-6)
