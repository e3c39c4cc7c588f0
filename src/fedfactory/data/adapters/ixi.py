"""IXI MRA (setup MO): ``IXI012-HH-1211-MRA.nii.gz`` with ``_mask`` (brain) and ``_vessel_mask2`` beside it.

The masks are not part of IXI. A volume without vessel mask is unlabelled.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fedfactory.data.adapter_options import read_options
from fedfactory.data.folders import lies_there, matching
from fedfactory.data.formats import ImageFile
from fedfactory.data.raw import RawCase


def find_cases(root: Path, options: Mapping[str, Any], where: str) -> Iterator[RawCase]:
    """List one volume per subject; see the package's docstring for arguments and errors."""
    read_options(options, {}, where)
    for image in matching(root, "IXI*-MRA.nii.gz"):
        name = image.name.removesuffix(".nii.gz")
        brain, vessels = (root / f"{name}{suffix}.nii.gz" for suffix in ("_mask", "_vessel_mask2"))
        yield RawCase(
            subject=name.split("-")[0],
            name=name,
            image=ImageFile(image),
            label=ImageFile(vessels) if lies_there(vessels) else None,
            roi=ImageFile(brain) if lies_there(brain) else None,
        )
