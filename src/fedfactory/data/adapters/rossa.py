"""ROSSA (setup RV): OCT angiographies ``train_manual/image/1.png`` with vessels ``train_manual/label/1.png``.

Ning et al. 2023. Every picture is taken for a subject of its own: the release does not say more. It is 6 mm wide
(assumed).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fedfactory.data.adapter_options import read_options
from fedfactory.data.folders import lies_there, matching
from fedfactory.data.formats import ImageFile
from fedfactory.data.raw import Problem, RawCase
from fedfactory.storage.files import inside

_WIDTH_MM = 6.0


def find_cases(root: Path, options: Mapping[str, Any], where: str) -> Iterator[RawCase | Problem]:
    """List one picture per subject; ``part`` is the folder of the release, ``train_manual`` that of labels by hand."""
    part = read_options(options, {"part": "train_manual"}, where)["part"]
    folder = inside(root, part, f"{where}, adapter option 'part'")
    for image in matching(folder, "image/*.png"):
        vessels = folder / "label" / image.name
        if not lies_there(vessels):
            yield Problem(f"{where}: {image} has no label {vessels}; add it or remove the picture")
            continue
        yield RawCase(
            subject=image.stem,
            name=image.stem,
            image=ImageFile(image, width_mm=_WIDTH_MM),
            label=ImageFile(vessels, width_mm=_WIDTH_MM),
        )
