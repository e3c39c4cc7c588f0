"""SynthStrip release (setup MM): ``<SUBSET>_<MODALITY>_<SUBJECT>/{image,mask}.nii.gz``.

The CT and PET images of the release come from another site (CERMEP) on request and are dropped beside the masks; a
folder that holds a mask but no image is therefore told apart from one without a mask.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fedfactory.data.adapter_options import read_options
from fedfactory.data.folders import lies_there, matching
from fedfactory.data.formats import ImageFile
from fedfactory.data.raw import Problem, RawCase
from fedfactory.errors import FedFactoryError


def find_cases(root: Path, options: Mapping[str, Any], where: str) -> Iterator[RawCase | Problem]:
    """List the subjects whose folder matches the option ``folders``; see the package's docstring."""
    pattern = read_options(options, {"folders": str}, where)["folders"]
    if "/" in pattern or ".." in pattern:
        raise FedFactoryError(
            f"{where}: adapter option 'folders' is a pattern of folder names, not the path '{pattern}'"
        )
    for folder in (path for path in matching(root, pattern) if path.is_dir()):
        image, mask = folder / "image.nii.gz", folder / "mask.nii.gz"
        if not lies_there(image):
            yield Problem(f"{where}: {image} is missing; CERMEP images are requested apart and go beside the mask")
        elif not lies_there(mask):
            yield Problem(f"{where}: {image} has no label mask.nii.gz beside it; add it or remove the folder")
        else:
            yield RawCase(folder.name, folder.name, ImageFile(image), ImageFile(mask))
