"""Slices of a target's test cases with the contours of truth and of every method, for the page of the results.

They show real images of test subjects: a client writes them only where it releases pictures.
"""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from fedfactory.data.geometry import Orientation
from fedfactory.errors import FedFactoryError
from fedfactory.evaluation.case_masks import load_oriented
from fedfactory.evaluation.released_slices import Panel, grey_values

_STRICT = ConfigDict(strict=True, extra="forbid", frozen=True)
_LARGEST = 256
"""Pixels along the longer edge of a slice on the page; larger ones are drawn smaller."""
_LARGEST_PANEL = 512
"""The same of a panel of a figure, where many stand beside each other."""
_SLICES = 24
"""Of one case; of a thicker stack those that hold truth or prediction are thinned out evenly."""


def slices_of(
    case: str,
    truth: Path,
    predictions: Mapping[str, Path],
    orientation: Orientation,
    classes: Sequence[str],
) -> dict[str, Any]:
    """One case as plain data.

    Args:
        case: its name.
        truth: folder with ``<case>_image.nii.gz`` and ``<case>_truth.nii.gz``.
        predictions: method -> folder with ``<case>.nii.gz``.
        orientation: of the setup.
        classes: class names; label value v is ``classes[v - 1]``.

    Returns:
        ``width``, ``height`` in pixels, ``aspect`` (height of a pixel by its width), and ``slices``: for each its
        number in the stack, a grey PNG as a data URI, and ``contours``: method (``truth``) -> class -> path of an SVG
        in pixels.

    Raises:
        FedFactoryError: a prediction is missing or not in the geometry of its image.
    """
    stack = load_oriented(case, truth, predictions, orientation)
    labels = {"truth": stack.truth, **stack.predictions}
    step = _thinning(stack.image.shape, _LARGEST)
    drawn = {method: masks[:, ::step, ::step] for method, masks in labels.items()}
    grey, shown = grey_values(stack.image)[:, ::step, ::step], []
    for number in _chosen(labels.values(), len(grey)):
        contours = {}
        for method, masks in drawn.items():
            paths = {name: _contour(masks[number] == value) for value, name in enumerate(classes, start=1)}
            contours[method] = {name: path for name, path in paths.items() if path}
        shown.append({"number": number, "image": _png(grey[number]), "contours": contours})
    height, width = grey.shape[1:]
    return {"case": case, "width": width, "height": height, "aspect": stack.aspect, "slices": shown}


class _Slice(BaseModel):
    model_config = _STRICT
    number: Annotated[int, Field(ge=0)]
    image: Annotated[str, Field(pattern="^data:image/png;base64,[A-Za-z0-9+/=]+$")]
    contours: dict[str, dict[str, Annotated[str, Field(pattern="^[MLZ0-9. -]*$")]]]


class _Case(BaseModel):
    model_config = _STRICT
    subject: str
    case: str
    width: Annotated[int, Field(gt=0)]
    height: Annotated[int, Field(gt=0)]
    aspect: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    slices: list[_Slice]


_CASES = TypeAdapter(list[_Case])


def write_slices(cases: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Write a target's cases, each as :func:`slices_of` gives it and with its ``subject``, as JSON."""
    out.write_text(json.dumps(cases, separators=(",", ":")) + "\n")


def read_slices(file: Path) -> list[dict[str, Any]]:
    """Read what :func:`write_slices` wrote at another site.

    Raises:
        FedFactoryError: it holds anything but pictures, outlines and names.
    """
    try:
        return [case.model_dump() for case in _CASES.validate_json(file.read_bytes())]
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise FedFactoryError(
            f"{file}: holds no slices of test cases ({place}: {first['msg'].lower()}); have the site make it again"
        ) from None


def write_script(target: str, cases: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Write what :func:`read_slices` gave as a script: a page opened from a disk may load one, and no JSON."""
    out.write_text(f"fedfactorySlices({json.dumps(target)},{json.dumps(cases, separators=(',', ':'))});\n")


def worst_panels(
    dice: Mapping[str, Mapping[str, float]],
    cases: Mapping[str, str],
    truth: Path,
    predictions: Mapping[str, Path],
    orientation: Orientation,
) -> dict[str, Panel]:
    """Each method's worst subject, in the slice that holds most of the truth.

    Args:
        dice: method -> subject -> Dice in percent.
        cases: test case -> subject.
        truth: as for :func:`slices_of`.
        predictions: method -> folder.
        orientation: of the setup.

    Returns:
        Method -> panel with the subject's Dice as its title.
    """
    panels = {}
    for method, subjects in dice.items():
        subject = min(sorted(subjects), key=subjects.__getitem__)
        case = min(name for name, own in cases.items() if own == subject)
        stack = load_oriented(case, truth, {method: predictions[method]}, orientation)
        step = _thinning(stack.image.shape, _LARGEST_PANEL)
        fullest = int((stack.truth > 0).sum(axis=(1, 2)).argmax())
        image, mask, found = (
            part[fullest, ::step, ::step] for part in (stack.image, stack.truth, stack.predictions[method])
        )
        panels[method] = Panel(grey_values(image), mask, found, stack.aspect, f"{subjects[subject]:.0f}")
    return panels


def _thinning(shape: tuple[int, ...], largest: int) -> int:
    """Every how many-th pixel of (slices, height, width) is drawn so that no edge is longer than ``largest``."""
    return -(-max(shape[1:]) // largest)


def _chosen(labels: Any, count: int) -> list[int]:
    """Slices to show: those that hold something, and one beside on either end, thinned out evenly."""
    holds = np.any([stack.reshape(count, -1).any(axis=1) for stack in labels], axis=0)
    found = np.flatnonzero(holds)
    if not len(found):
        return [count // 2]
    wanted = np.arange(max(0, found[0] - 1), min(count, found[-1] + 2))
    if len(wanted) > _SLICES:
        wanted = wanted[np.linspace(0, len(wanted) - 1, _SLICES).round().astype(int)]
    return wanted.tolist()


def _contour(mask: np.ndarray) -> str:
    """Outline of a mask (h, w) as an SVG path with one digit: its corners, and no point on a straight line."""
    if not mask.any():
        return ""
    from skimage.measure import find_contours

    parts = []
    for line in find_contours(np.pad(mask, 1).astype(np.float32), 0.5):
        turns = (np.diff(line, n=2, axis=0) != 0).any(axis=1)
        # From the padded array's pixel centres to the picture's corners.
        corners = line[:-1][np.r_[True, turns]] - 0.5
        parts.append("M" + "L".join(f"{column:.1f} {row:.1f}" for row, column in corners.tolist()) + "Z")
    return "".join(parts)


def _png(plane: np.ndarray) -> str:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(plane)).save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
