"""OASIS-3 TOF-MRA (setup MO): sessions of images, and a parallel tree of labels made by the paper's authors.

Images: ``<session>/anat*/*acq-TOF*_angio.nii.gz``. Labels: ``<session>/mask.nii.gz`` (brain) and
``vessel_mask_2.nii.gz``, else ``vessel_mask.nii.gz``. A session without vessel labels is unlabelled.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fedfactory.data.adapter_options import read_options
from fedfactory.data.folders import lies_there, matching
from fedfactory.data.formats import ImageFile
from fedfactory.data.raw import Problem, RawCase
from fedfactory.storage.files import inside


def find_cases(root: Path, options: Mapping[str, Any], where: str) -> Iterator[RawCase | Problem]:
    """List one volume per session; options ``images`` and ``labels`` name the two trees below the raw folder."""
    trees = read_options(options, {"images": "images", "labels": "labels"}, where)
    images = inside(root, trees["images"], f"{where}, adapter option 'images'")
    labels = inside(root, trees["labels"], f"{where}, adapter option 'labels'")
    for session in matching(images, "OAS3*_MR_d*"):
        # A session scanned twice has runs 01, 02: the first one is the one that was labelled.
        volumes = sorted(matching(session, "anat*/*acq-TOF*_angio.nii.gz"), key=lambda path: path.name)
        if volumes:
            yield _case(session.name, volumes[0], labels / session.name, where)


def _case(session: str, image: Path, folder: Path, where: str) -> RawCase | Problem:
    brain = folder / "mask.nii.gz"
    vessels = next((p for p in (folder / "vessel_mask_2.nii.gz", folder / "vessel_mask.nii.gz") if lies_there(p)), None)
    if vessels is not None and not lies_there(brain):
        return Problem(f"{where}: {vessels} has no brain mask {brain.name} beside it; add it")
    # One subject may have several sessions: the identifier before _MR_ keeps them in one split.
    return RawCase(
        subject=session.split("_MR_")[0],
        name=session,
        image=ImageFile(image),
        label=ImageFile(vessels) if vessels is not None else None,
        roi=ImageFile(brain) if lies_there(brain) else None,
    )
