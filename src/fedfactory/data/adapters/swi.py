"""SWI venography (setup MO, private data): ``<id>.nii.gz``, ``<id>_bet_mask.nii.gz``, ``mask/<id>_vessel_mask.nii.gz``.

Only some volumes have vessel labels; the others are unlabelled.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedfactory.data.adapter_options import read_options
from fedfactory.data.raw import NiftiSource, RawCase
from fedfactory.errors import FedFactoryError

_BRAIN = "_bet_mask"


def find_cases(root: Path, options: Mapping[str, Any], where: str) -> list[RawCase]:
    """List one volume per subject; see the package's docstring for arguments and errors."""
    read_options(options, {}, where)
    cases = []
    for image in sorted(root.glob("*.nii.gz")):
        name = image.name.removesuffix(".nii.gz")
        if name.endswith(_BRAIN):
            continue
        brain = root / f"{name}{_BRAIN}.nii.gz"
        vessels = root / "mask" / f"{name}_vessel_mask.nii.gz"
        if not brain.is_file():
            raise FedFactoryError(f"{where}: {image} has no brain mask {brain.name} beside it; add it")
        label = NiftiSource(vessels) if vessels.is_file() else None
        cases.append(RawCase(name, name, NiftiSource(image), label, NiftiSource(brain)))
    return cases
