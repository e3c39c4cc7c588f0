"""SynthStrip release (setup MM): ``<SUBSET>_<MODALITY>_<SUBJECT>/{image,mask}.nii.gz``.

The CT and PET images of the release come from another site (CERMEP) on request and are dropped beside the masks; a
folder that holds a mask but no image is therefore told apart from one without a mask.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedfactory.data.adapter_options import read_options
from fedfactory.data.raw import NiftiSource, RawCase
from fedfactory.errors import FedFactoryError


def find_cases(root: Path, options: Mapping[str, Any], where: str) -> list[RawCase]:
    """List the subjects whose folder matches the option ``folders``; see the package's docstring."""
    pattern = read_options(options, {"folders": str}, where)["folders"]
    if "/" in pattern or ".." in pattern:
        raise FedFactoryError(
            f"{where}: adapter option 'folders' is a pattern of folder names, not the path '{pattern}'"
        )
    cases = []
    for folder in sorted(path for path in root.glob(pattern) if path.is_dir()):
        image, mask = folder / "image.nii.gz", folder / "mask.nii.gz"
        if not image.is_file():
            raise FedFactoryError(
                f"{where}: {image} is missing; CERMEP images are requested apart and go beside the mask"
            )
        if not mask.is_file():
            raise FedFactoryError(f"{where}: {image} has no label mask.nii.gz beside it; add it or remove the folder")
        cases.append(RawCase(folder.name, folder.name, NiftiSource(image), NiftiSource(mask)))
    return cases
