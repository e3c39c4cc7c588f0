"""OCTA-500 (setup MO): en-face projections as bitmaps, three per subject, one label for all of them.

Older releases: ``OCTA_3M/Projection Maps/OCTA(FULL)/10301.bmp`` and ``OCTA_3M/GroundTruth/10301.bmp``. Newer:
``OCTA_3mm/Projection Maps/...`` and ``OCTA_3mm/Label/GT_LargeVessel/10301.bmp``, possibly below
``OCTA_3mm_partN/``. A subject is one volume whose slices are the projections of the option ``projections``.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fedfactory.data.adapter_options import read_options
from fedfactory.data.folders import lies_there, matching
from fedfactory.data.formats import ImageFile
from fedfactory.data.raw import Problem, RawCase, Stack
from fedfactory.errors import FedFactoryError

_PROJECTIONS = ("FULL", "ILM_OPL", "OPL_BM")
_FIELD_OF_VIEW_MM = {"OCTA_3M": 3.0, "OCTA_3mm": 3.0, "OCTA_6M": 6.0, "OCTA_6mm": 6.0}


def find_cases(root: Path, options: Mapping[str, Any], where: str) -> Iterator[RawCase | Problem]:
    """List one stack of projections per subject; see the package's docstring for arguments and errors."""
    values = read_options(options, {"projections": list(_PROJECTIONS), "label": "GT_LargeVessel"}, where)
    unknown = [name for name in values["projections"] if name not in _PROJECTIONS]
    if unknown or not values["projections"]:
        raise FedFactoryError(f"{where}: adapter option 'projections' takes {', '.join(_PROJECTIONS)}, not {unknown}")
    if values["label"] != Path(values["label"]).name:
        raise FedFactoryError(f"{where}: adapter option 'label' is a folder name, not the path '{values['label']}'")
    for folder in matching(root, "**/Projection Maps"):
        release = folder.parent
        field = _FIELD_OF_VIEW_MM.get(release.name)
        if field is None:
            raise FedFactoryError(f"{where}: {release} is no OCTA-500 folder; known are {', '.join(_FIELD_OF_VIEW_MM)}")
        first = folder / f"OCTA({values['projections'][0]})"
        for image in matching(first, "*.bmp"):
            yield _case(image.stem, release, field, values, where)


def _case(name: str, release: Path, field: float, values: Mapping[str, Any], where: str) -> RawCase | Problem:
    layers = [release / "Projection Maps" / f"OCTA({kind})" / f"{name}.bmp" for kind in values["projections"]]
    missing = [path for path in layers if not lies_there(path)]
    if missing:
        return Problem(f"{where}: projection {missing[0]} is missing; copy the release again")
    candidates = (release / "Label" / values["label"] / f"{name}.bmp", release / "GroundTruth" / f"{name}.bmp")
    label = next((path for path in candidates if lies_there(path)), None)
    if label is None:
        return Problem(f"{where}: subject {name} has no label {candidates[0]}; add it or remove the subject")

    def stack(paths: Sequence[Path]) -> Stack:
        return Stack(tuple(ImageFile(path, channel="grey", width_mm=field) for path in paths))

    return RawCase(subject=name, name=name, image=stack(layers), label=stack([label] * len(layers)))
