"""IXI MRA (setup MO): ``IXI012-HH-1211-MRA.nii.gz`` with ``_mask`` (brain) and ``_vessel_mask2`` beside it.

The masks are not part of IXI. A volume without vessel mask is unlabelled.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fedfactory.data.adapter_options import read_options
from fedfactory.data.raw import NiftiSource, RawCase


def find_cases(root: Path, options: Mapping[str, Any], where: str) -> Iterator[RawCase]:
    """List one volume per subject; see the package's docstring for arguments and errors."""
    read_options(options, {}, where)
    for image in sorted(root.glob("IXI*-MRA.nii.gz")):
        name = image.name.removesuffix(".nii.gz")
        brain, vessels = (root / f"{name}{suffix}.nii.gz" for suffix in ("_mask", "_vessel_mask2"))
        yield RawCase(
            subject=name.split("-")[0],
            name=name,
            image=NiftiSource(image),
            label=NiftiSource(vessels) if vessels.is_file() else None,
            roi=NiftiSource(brain) if brain.is_file() else None,
        )
