"""CHASEDB1 (setup RV): fundus photographs ``Image_01L.jpg`` with vessels ``Image_01L_1stHO.png`` beside them.

Fraz et al., IEEE Transactions on Biomedical Engineering 2012. Both eyes of a child are one subject. The field of view
is 30 degrees, nominally 9 mm, and 919 pixels wide.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fedfactory.data.adapter_options import read_options
from fedfactory.data.folders import lies_there, matching
from fedfactory.data.formats import ImageFile
from fedfactory.data.raw import Problem, RawCase

_PIXEL_MM = 9 / 919
_NAME = re.compile(r"Image_(\d+)[LR]")


def find_cases(root: Path, options: Mapping[str, Any], where: str) -> Iterator[RawCase | Problem]:
    """List one picture per eye; options: what is read of its colours, and whose vessels are the truth."""
    values = read_options(options, {"channel": "green", "observer": "1stHO"}, where)
    for image in matching(root, "Image_*.jpg"):
        found, vessels = _NAME.fullmatch(image.stem), image.with_name(f"{image.stem}_{values['observer']}.png")
        if found is None:
            yield Problem(f"{where}: {image} is not named as in the release (Image_01L.jpg); rename or remove it")
        elif not lies_there(vessels):
            yield Problem(f"{where}: {image} has no label {vessels.name} beside it; add it or remove the picture")
        else:
            yield RawCase(
                subject=found.group(1),
                name=image.stem,
                image=ImageFile(image, channel=values["channel"], pixel_mm=_PIXEL_MM),
                label=ImageFile(vessels, pixel_mm=_PIXEL_MM),
            )
