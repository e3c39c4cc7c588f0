"""PNG, JPEG, TIFF and their kin, by Pillow: flat, the first row on top, with a pixel size that the setup gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fedfactory.data.formats import Header, ImageFile, checked, readable
from fedfactory.errors import FedFactoryError

CHANNELS = ("grey", "red", "green", "blue")
_ORIENTATION = 0x0112
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT, _WHITE_IS_ZERO = 258, 262, 339, 0
# Bits of a pixel and formats (1 unsigned, 2 signed, 3 floating point) of TIFF whose values come as they are.
_TIFF = ((1, 1), (8, 1), (16, 1), (32, 2), (32, 3))
# Modes of Pillow that hold one number in a pixel.
_GREY = ("L", "I", "F", "I;16", "I;16B", "I;16L")


def header(file: ImageFile) -> Header:
    """Shape (x, y, 1), and an affine of square pixels; the plane is one mm thick."""
    with _opened(file) as picture:
        width, height = picture.size
    pixel = file.width_mm / width if file.width_mm else file.pixel_mm
    if pixel is None:
        raise FedFactoryError(
            f"{file.path}: does not say how large its pixels are; give the client's option 'pixel_mm' in the setup's "
            "file"
        )
    return Header((width, height, 1), checked(np.diag([pixel, pixel, 1.0, 1.0]), file.path))


def read(file: ImageFile) -> np.ndarray:
    """Grey values, or those of the channel; y runs upwards."""
    with _opened(file) as picture:
        pixels = _values(picture, file.channel, file.path)
    return pixels[::-1].T[..., None]


def is_coloured(path: Path) -> bool:
    """Whether the pixels of a picture have different values of red, green and blue."""
    with readable(path), _opened(ImageFile(path)) as picture:
        return picture.mode not in (*_GREY, "1") and _differ(np.asarray(picture.convert("RGB")))


def _differ(colours: np.ndarray) -> bool:
    return bool((colours != colours[..., :1]).any())


def _opened(file: ImageFile) -> Any:
    from PIL import Image

    # The size is looked at here, with a sentence.
    Image.MAX_IMAGE_PIXELS = None
    picture = Image.open(file.path)
    file.check_size(picture.size)
    if (pages := getattr(picture, "n_frames", 1)) > 1:
        raise FedFactoryError(f"{file.path}: holds {pages} pages; store the one to be read in a file of its own")
    _check_bits(picture, file.path)
    if picture.getexif().get(_ORIENTATION, 1) != 1:
        raise FedFactoryError(
            f"{file.path}: is stored turned (EXIF orientation), and a mask may be drawn either way; store it upright"
        )
    return picture


def _check_bits(picture: Any, path: Path) -> None:
    """Refuse what Pillow reads as other values than were stored."""
    tags = getattr(picture, "tag_v2", {})
    bits, kind, meaning = max(tags.get(_BITS, (8,))), tags.get(_SAMPLE_FORMAT, (1,))[0], tags.get(_PHOTOMETRIC)
    deep = bits > 8 or any("16" in str(tile[3]) for tile in getattr(picture, "tile", ()))
    if deep and picture.mode not in _GREY:
        raise FedFactoryError(f"{path}: holds 16 bits of each colour; store the one to be read as a grey picture")
    if tags and ((bits, kind) not in _TIFF or (meaning == _WHITE_IS_ZERO and bits > 8)):
        raise FedFactoryError(
            f"{path}: its {bits} bits a pixel (sample format {kind}, photometric {meaning}) are not read; store 8 or "
            "16 bits without sign, or floating point"
        )


def _values(picture: Any, channel: str | None, path: Path) -> np.ndarray:
    """One number a pixel, (height, width)."""
    if picture.mode == "1":
        picture = picture.convert("L")
    if picture.mode in _GREY:
        if channel not in (None, "grey"):
            raise FedFactoryError(f"{path}: is grey and has no channel '{channel}'; take the option 'channel' away")
        return np.asarray(picture)
    if "A" in picture.getbands() and np.ptp(np.asarray(picture.getchannel("A"))):
        raise FedFactoryError(f"{path}: part of it is transparent; store what is to be read as a grey picture")
    colours = np.asarray(picture.convert("RGB"))
    if channel is None:
        if _differ(colours):
            raise FedFactoryError(
                f"{path}: is a colour picture; store a label map as grey values, and of an image choose with the "
                f"option 'channel' what is read: {', '.join(CHANNELS)}"
            )
        return colours[..., 0]
    if channel == "grey":
        return np.asarray(picture.convert("L"))
    return colours[..., CHANNELS.index(channel) - 1]
