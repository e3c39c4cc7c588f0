"""PNG, JPEG, TIFF and their kin, by Pillow: flat, the first row on top, with a pixel size that the setup gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fedfactory.data.formats import Header, ImageFile, checked, readable
from fedfactory.errors import FedFactoryError

CHANNELS = ("grey", "red", "green", "blue")
_ORIENTATION = 0x0112
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
    if picture.getexif().get(_ORIENTATION, 1) != 1:
        raise FedFactoryError(
            f"{file.path}: is stored turned (EXIF orientation), and a mask may be drawn either way; store it upright"
        )
    return picture


def _values(picture: Any, channel: str | None, path: Path) -> np.ndarray:
    """One number a pixel, (height, width)."""
    if picture.mode == "1":
        picture = picture.convert("L")
    if picture.mode in _GREY:
        if channel not in (None, "grey"):
            raise FedFactoryError(f"{path}: is grey and has no channel '{channel}'; take the option 'channel' away")
        return np.asarray(picture)
    colours = np.asarray(picture.convert("RGB"))
    if channel is None:
        if _differ(colours):
            raise FedFactoryError(
                f"{path}: is a colour picture; choose with the option 'channel' what is read: {', '.join(CHANNELS)}"
            )
        return colours[..., 0]
    if channel == "grey":
        return np.asarray(picture.convert("L"))
    return colours[..., CHANNELS.index(channel) - 1]
