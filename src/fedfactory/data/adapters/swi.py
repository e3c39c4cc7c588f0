"""SWI venography (setup MO, private data): ``<id>.nii.gz``, ``<id>_bet_mask.nii.gz``, ``mask/<id>_vessel_mask.nii.gz``.

Only some volumes have vessel labels; the others are unlabelled.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fedfactory.data.adapter_options import read_options
from fedfactory.data.folders import lies_there, matching
from fedfactory.data.formats import ImageFile
from fedfactory.data.raw import Problem, RawCase

_BRAIN = "_bet_mask"


def find_cases(root: Path, options: Mapping[str, Any], where: str) -> Iterator[RawCase | Problem]:
    """List one volume per subject; see the package's docstring for arguments and errors."""
    read_options(options, {}, where)
    for image in matching(root, "*.nii.gz"):
        name = image.name.removesuffix(".nii.gz")
        if name.endswith(_BRAIN):
            continue
        brain = root / f"{name}{_BRAIN}.nii.gz"
        vessels = root / "mask" / f"{name}_vessel_mask.nii.gz"
        if not lies_there(brain):
            yield Problem(f"{where}: {image} has no brain mask {brain.name} beside it; add it")
            continue
        label = ImageFile(vessels) if lies_there(vessels) else None
        yield RawCase(name, name, ImageFile(image), label, ImageFile(brain))
