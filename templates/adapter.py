"""NAME OF THE RELEASE: ``<patient>/image.nii.gz`` and, where drawn, ``<patient>/label.nii.gz``.

Copy this file to src/fedfactory/data/adapters/<name>.py, describe the layout here, and change what is marked CHANGE.
docs/add-a-dataset.md goes through a whole example; `fedfactory check-data SETUP` then says what a folder holds.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fedfactory.data.adapter_options import read_options
from fedfactory.data.folders import lies_there, matching
from fedfactory.data.formats import ImageFile
from fedfactory.data.raw import Problem, RawCase

# CHANGE: options that a setup may give, with their defaults.
_OPTIONS = {"prefix": ""}


def find_cases(root: Path, options: Mapping[str, Any], where: str) -> Iterator[RawCase | Problem]:
    """List one volume per patient; see the package's docstring for arguments and errors."""
    known = read_options(options, _OPTIONS, where)
    # CHANGE: how the release names its folders and files. List only; files are read and checked later.
    for patient in (path for path in matching(root, f"{known['prefix']}*") if path.is_dir()):
        image, label = patient / "image.nii.gz", patient / "label.nii.gz"
        if not lies_there(image):
            yield Problem(f"{where}: {image} is missing; add it, or remove the folder")
            continue
        # CHANGE: the subject, whose volumes a split keeps together, and the name of this volume, unique in the site.
        subject = name = patient.name
        yield RawCase(subject, name, ImageFile(image), ImageFile(label) if lies_there(label) else None)
