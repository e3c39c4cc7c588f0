"""Reading a case: every kind of bad input is told with the file and what to do."""

from dataclasses import replace

import nibabel
import numpy as np
import pytest
from PIL import Image

from fedfactory.data.formats import ImageFile
from fedfactory.data.raw import RawCase, Stack, read_case
from fedfactory.errors import FedFactoryError
from tests.conftest import ball_volume, write_nifti


@pytest.fixture
def case(tmp_path):
    image, mask = ball_volume()
    return RawCase(
        "s",
        "s",
        ImageFile(write_nifti(tmp_path / "i.nii.gz", image)),
        ImageFile(write_nifti(tmp_path / "m.nii.gz", mask)),
    )


def test_good_case(case):
    volume = read_case(case, {1: 1})
    assert volume.image.dtype == np.float32
    assert volume.label.dtype == np.uint8
    assert volume.image.shape == volume.label.shape == (24, 22, 8)


def test_labels_that_went_through_floating_point(case):
    write_nifti(case.label.path, ball_volume()[1] * np.float32(0.99995))
    np.testing.assert_array_equal(read_case(case, {1: 1}).label, ball_volume()[1])


def test_label_values_are_mapped(case):
    write_nifti(case.label.path, ball_volume()[1] * 3)
    assert set(np.unique(read_case(case, {3: 2}).label)) == {0, 2}


def nan_voxels(case):
    image, _ = ball_volume()
    image[3, 4, 5] = np.nan
    write_nifti(case.image.path, image)


def constant_image(case):
    write_nifti(case.image.path, np.zeros((24, 22, 8), np.float32))


def one_hot_voxel(case):
    image, _ = ball_volume()
    image[3, 4, 5] = 1e9
    write_nifti(case.image.path, image)


def corrupt_gzip(case):
    data = bytearray(case.image.path.read_bytes())
    data[len(data) // 2 :] = b"\0" * (len(data) - len(data) // 2)
    case.image.path.write_bytes(bytes(data))


def truncated_gzip(case):
    case.image.path.write_bytes(case.image.path.read_bytes()[:-400])


def no_nifti(case):
    case.image.path.write_text("<html>404</html>")


def missing_file(case):
    case.image.path.unlink()


def other_shape(case):
    write_nifti(case.label.path, np.ones((24, 22, 9), np.uint8))


def other_affine(case):
    write_nifti(case.label.path, ball_volume()[1], np.diag([1, 1, 2.0, 1]))


def unknown_label(case):
    mask = ball_volume()[1]
    mask[12, 11, 4] = 7
    write_nifti(case.label.path, mask)


def empty_mask(case):
    write_nifti(case.label.path, np.zeros((24, 22, 8), np.uint8))


def four_dimensions(case):
    write_nifti(case.image.path, np.random.default_rng(0).random((24, 22, 8, 3)))


def complex_image(case):
    write_nifti(case.image.path, ball_volume()[0].astype(np.complex64))


def zero_affine(case):
    header = nibabel.Nifti1Header()
    header.set_data_shape((24, 22, 8))
    image = nibabel.Nifti1Image(ball_volume()[0], None, header)
    image.header["sform_code"] = 1
    nibabel.save(image, case.image.path)


def flipped_label_of_tiny_voxels(case):
    write_nifti(case.image.path, ball_volume()[0], np.diag([0.003, 0.003, 0.003, 1]))
    write_nifti(case.label.path, ball_volume()[1], np.diag([-0.003, 0.003, 0.003, 1]))


def other_spacing(case):
    write_nifti(case.image.path, ball_volume()[0], np.diag([0.300, 0.3, 1, 1]))
    write_nifti(case.label.path, ball_volume()[1], np.diag([0.309, 0.3, 1, 1]))


@pytest.mark.parametrize(
    ("damage", "file", "message"),
    [
        (nan_voxels, "i.nii.gz", "1 voxels are NaN or infinite"),
        (constant_image, "i.nii.gz", "every voxel has the value 0"),
        (one_hot_voxel, "i.nii.gz", "a few voxels (up to 1e+09) are so far from all others"),
        (corrupt_gzip, "i.nii.gz", "cannot be read"),
        (truncated_gzip, "i.nii.gz", "cannot be read"),
        (no_nifti, "i.nii.gz", "again"),
        (missing_file, "i.nii.gz", "is missing"),
        (other_shape, "m.nii.gz", "shape (24, 22, 9) differs from (24, 22, 8)"),
        (other_affine, "m.nii.gz", "its affine differs"),
        (unknown_label, "m.nii.gz", "label value 7 is unknown to the setup (known: 0, 1)"),
        (empty_mask, "m.nii.gz", "the label map is empty"),
        (complex_image, "i.nii.gz", "holds complex64 voxels"),
        (zero_affine, "i.nii.gz", "its affine is not usable"),
        (flipped_label_of_tiny_voxels, "m.nii.gz", "its affine differs"),
        (other_spacing, "m.nii.gz", "its affine differs"),
        (four_dimensions, "i.nii.gz", "has the shape (24, 22, 8, 3)"),
    ],
)
def test_bad_input(case, damage, file, message):
    damage(case)
    with pytest.raises(FedFactoryError) as error:
        read_case(case, {1: 1})
    assert file in str(error.value)
    assert message in str(error.value)


def test_flat_images_stack(tmp_path):
    pixels = np.zeros((4, 4), np.uint8)
    pixels[0, 1] = 255
    Image.fromarray(pixels).save(tmp_path / "a.bmp")
    Image.fromarray(pixels[:3]).save(tmp_path / "b.bmp")
    whole, less = (ImageFile(tmp_path / f"{name}.bmp", width_mm=3.0) for name in "ab")
    stack = Stack((whole, whole))
    assert stack.header().shape == (4, 4, 2)
    np.testing.assert_allclose(stack.header().affine, np.diag([0.75, 0.75, 1, 1]))
    assert [tuple(place) for place in np.argwhere(stack.read())] == [(1, 3, 0), (1, 3, 1)], "the first row is on top"
    with pytest.raises(FedFactoryError, match=r"b.bmp: has the shape \(4, 3, 1\)"):
        Stack((whole, less)).header()


def test_a_mask_that_was_stored_with_loss_is_none(case, tmp_path):
    mask = (ball_volume()[1] * 255 + np.random.default_rng(0).integers(-9, 9, (24, 22, 8)).clip(0)).astype(np.int16)
    roi = ImageFile(write_nifti(tmp_path / "r.nii.gz", mask))
    with pytest.raises(FedFactoryError, match=r"r\.nii\.gz: holds 1\d values and is no mask"):
        read_case(replace(case, roi=roi), {1: 1})
