"""HRF (setup RV): fundus photographs ``images/01_h.jpg``, vessels ``manual1/01_h.tif``, field ``mask/01_h_mask.tif``.

Budai et al., International Journal of Biomedical Imaging 2013. The names say of no two eyes that they are one person's.
The field of view is 60 degrees, nominally 18 mm, and 3263 pixels wide.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fedfactory.data.adapter_options import read_options
from fedfactory.data.folders import lies_there, matching
from fedfactory.data.formats import ENDINGS, ImageFile, ending_of, stem_of
from fedfactory.data.raw import Problem, RawCase

_PIXEL_MM = 18 / 3263


def find_cases(root: Path, options: Mapping[str, Any], where: str) -> Iterator[RawCase | Problem]:
    """List one picture per eye; the option ``channel`` says what is read of its colours."""
    channel = read_options(options, {"channel": "green"}, where)["channel"]
    for image in matching(root, "images/*"):
        if not ending_of(image.name):
            continue
        name = stem_of(image.name)
        vessels, field = (
            next((path for ending in ENDINGS if lies_there(path := root / f"{part}{ending}")), None)
            for part in (f"manual1/{name}", f"mask/{name}_mask")
        )
        if vessels is None or field is None:
            lacks = f"manual1/{name}.tif" if vessels is None else f"mask/{name}_mask.tif"
            yield Problem(f"{where}: {image} has no {root / lacks}; add it or remove the picture")
            continue
        yield RawCase(
            subject=name,
            name=name,
            image=ImageFile(image, channel=channel, pixel_mm=_PIXEL_MM),
            label=ImageFile(vessels, pixel_mm=_PIXEL_MM),
            roi=ImageFile(field, pixel_mm=_PIXEL_MM),
        )
