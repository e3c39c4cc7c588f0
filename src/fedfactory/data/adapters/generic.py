"""Anybody's own data: a table, or folders of images with an optional folder of labels, of any format that is read.

Table (option ``table``): a CSV with the columns ``subject,image`` and optionally ``label`` (empty, ``NA`` or ``n/a``
for an unlabelled image), ``roi`` and ``split``; paths are relative to the raw folder. Several rows of one subject stay
in one split.

Folders (options ``images`` and ``labels``): files, or folders of one DICOM series each, of the same name in both, but
for endings; ``_0000`` before the ending of an image, as in nnU-Net's ``imagesTr``, is accepted. ``images`` may be a
pattern, such as BIDS's ``sub-*/**/anat/*_T1w.*``: labels then lie below ``labels`` in the same folders, the first
folder names the subject. ``image_suffix`` and ``label_suffix`` are what stands behind the name that both share:
``_T1w`` and ``_mask``, say, or ``image`` and ``label`` in a folder for each patient. Without ``labels`` the site is
unlabelled.

Pictures: ``pixel_mm`` is the edge of a pixel, ``channel`` what is read of colours.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path
from typing import Any

from fedfactory.data.adapter_options import read_options
from fedfactory.data.folders import lies_there, matching
from fedfactory.data.formats import ImageFile, ending_of, kind_of, stem_of
from fedfactory.data.formats.dicom import is_series, series_of
from fedfactory.data.raw import Problem, RawCase
from fedfactory.data.splits import SPLITS
from fedfactory.data.tables import Row, read_table
from fedfactory.errors import FedFactoryError
from fedfactory.storage.files import inside

_NEEDED, _COLUMNS = ("subject", "image"), ("subject", "image", "label", "roi", "split")
_OPTIONS = {
    "table": "",
    "images": "",
    "labels": "",
    "image_suffix": "",
    "label_suffix": "",
    "channel": "",
    "pixel_mm": 0.0,
}
_NONE = ("na", "n/a", "nan", "none")
# nnU-Net's number of a channel.
_FIRST, _NUMBERED = "_0000", re.compile(r"(.+)_(\d{4})")


@dataclass(frozen=True)
class _Files:
    """How the files of a client are opened."""

    options: Mapping[str, Any]

    def image(self, path: Path) -> ImageFile:
        return ImageFile(path, channel=self.options["channel"] or None, pixel_mm=self.options["pixel_mm"] or None)

    def mask(self, path: Path) -> ImageFile:
        return ImageFile(path, pixel_mm=self.options["pixel_mm"] or None)


def find_cases(root: Path, options: Mapping[str, Any], where: str) -> Iterator[RawCase | Problem | Path]:
    """List the images of a table or of folders; see the package's docstring for arguments and errors."""
    values = read_options(options, _OPTIONS, where)
    if bool(values["table"]) == bool(values["images"]):
        raise FedFactoryError(f"{where}: the generic adapter takes either the option 'table' or the option 'images'")
    files = _Files(values)
    if values["table"]:
        table = inside(root, values["table"], f"{where}, adapter option 'table'")
        yield table
        yield from _from_table(root, table, files)
        return
    images = values["images"]
    inside(root, images, f"{where}, adapter option 'images'")
    labels = inside(root, values["labels"], f"{where}, adapter option 'labels'") if values["labels"] else None
    yield from _from_folders(root, images, labels, files, where)


def _from_folders(
    root: Path, images: str, labels: Path | None, files: _Files, where: str
) -> Iterator[RawCase | Problem]:
    pattern = "*" in images
    for folder in (None if pattern else root / images, labels):
        if folder is not None and not folder.is_dir():
            raise FedFactoryError(f"{where}: the folder {folder} is missing; correct the adapter's options or make it")
    base = root if pattern else root / images
    behind, suffix = files.options["image_suffix"], files.options["label_suffix"]
    masks = _by_name(labels, suffix) if labels else {}
    # Labels may lie beside their images.
    taken = {path for own in masks.values() for path in own} if suffix else set()
    found = [path for path in matching(root, images if pattern else f"{escape(images)}/*") if _is_image(path, behind)]
    # The files of a series are no images of their own.
    series = {path for path in found if path.is_dir()}
    found = [path for path in found if path not in taken and path.parent not in series]
    further = _further_slices([path for path in found if path not in series])
    found = [path for path in found if path not in further]
    for path, other in further.items():
        yield Problem(f"{where}: {path} and {other} are slices of one DICOM series; put each series into a folder")
    names = {(path.parent.relative_to(base), stem_of(path.name).removesuffix(behind)) for path in found}
    used = set()
    for image in found:
        folder, stem = image.parent.relative_to(base), stem_of(image.name).removesuffix(behind)
        first, number = _channel(stem)
        without = (folder, first)
        # A number is that of a channel only if there is a first one: a label of the whole name says that it is none.
        counted = number is not None and (folder, stem) not in masks
        if counted and number and ((folder, f"{first}{_FIRST}") in names or without in masks):
            yield Problem(
                f"{where}: {image} is by its name a further channel of {first}; one channel is read: put the others "
                "elsewhere, or name them otherwise if they are subjects"
            )
            continue
        key = without if counted and number == 0 else (folder, stem)
        own = masks.get(key, [])
        used.add(key)
        if labels and len(own) != 1:
            lacks = f"has no label {key[1]}{suffix} in {labels / folder}; add it or remove the image"
            what = f"has the labels {' and '.join(map(str, own))}; keep one" if own else lacks
            yield Problem(f"{where}: {image} {what}")
            continue
        parts = [*folder.parts, *filter(None, [key[1].strip("_-.")])] or [stem_of(image.name)]
        yield RawCase(parts[0], "_".join(parts), files.image(image), files.mask(own[0]) if own else None)
    # A folder of DICOM files is one label or holds several: what the images call for is right.
    read = [path for key in used for path in masks.get(key, [])]
    around = {*read, *(path.parent for path in read)}
    for key in sorted(masks.keys() - used):
        path = masks[key][0]
        if path not in around and path.parent not in read:
            yield Problem(f"{where}: {path} has no image of its name; add that, or remove the label")


def _is_image(path: Path, suffix: str) -> bool:
    """A file that is read, or the folder of a DICOM series, with the suffix behind its name."""
    return (is_series(path) if path.is_dir() else bool(ending_of(path.name))) and stem_of(path.name).endswith(suffix)


def _further_slices(files: Sequence[Path]) -> dict[Path, Path]:
    """Files that belong to the DICOM series of one before them, and that one."""
    first: dict[str, Path] = {}
    dicom = [path for path in files if kind_of(path.name) == "dicom"]
    return {path: first[uid] for path in dicom if (uid := series_of(path)) and first.setdefault(uid, path) != path}


def _channel(stem: str) -> tuple[str, int | None]:
    """A name without nnU-Net's number of a channel, and that number."""
    found = _NUMBERED.fullmatch(stem)
    return (found.group(1), int(found.group(2))) if found else (stem, None)


def _by_name(labels: Path, suffix: str) -> dict[tuple[Path, str], list[Path]]:
    """Labels by folder and name without suffix; several have one name if their endings differ."""
    found: dict[tuple[Path, str], list[Path]] = defaultdict(list)
    for path in matching(labels, "**/*"):
        if _is_image(path, suffix):
            found[path.parent.relative_to(labels), stem_of(path.name).removesuffix(suffix)].append(path)
    return found


def _from_table(root: Path, table: Path, files: _Files) -> Iterator[RawCase | Problem]:
    if not lies_there(table):
        raise FedFactoryError(f"{table}: the table is missing; correct the adapter's option 'table'")
    rows = read_table(table, _NEEDED, _COLUMNS)
    listed: dict[Path, str] = {}
    labels: dict[Path, str] = {}
    cases = []
    for row in rows:
        try:
            case = _case(root, row, files)
        except FedFactoryError as error:
            yield Problem(str(error))
            continue
        if (before := listed.setdefault(case.image.path, row.place)) != row.place:
            yield Problem(f"{row.place}: {case.image.path} is listed twice (see {before}); keep one line per image")
            continue
        if case.label is not None and (before := labels.setdefault(case.label.path, row.place)) != row.place:
            yield Problem(
                f"{row.place}: {case.label.path} is the label of another image as well (see {before}); give each image "
                "its own"
            )
            continue
        cases.append(case)
    # Files of one name in the folders of several sessions: their folders tell them apart.
    names = [case.name for case in cases]
    for case in cases:
        if names.count(case.name) > 1:
            folders = case.image.path.parent.relative_to(root).parts
            inner = [part for part in folders if part != case.subject]
            case = replace(case, name="_".join([case.subject, *inner, stem_of(case.image.path.name)]))
        yield case


def _case(root: Path, row: Row, files: _Files) -> RawCase:
    def path(column: str) -> Path | None:
        relative = row.values.get(column) or ""
        if not relative or (column != "image" and relative.lower() in _NONE):
            return None
        found = inside(root, relative, f"{row.place}, column '{column}'")
        if not lies_there(found):
            raise FedFactoryError(f"{row.place}: {found} is missing")
        return found

    subject, image, label, roi = row.values["subject"], path("image"), path("label"), path("roi")
    if image is None or not subject:
        raise FedFactoryError(f"{row.place}: 'subject' and 'image' must not be empty")
    split = (row.values.get("split") or "").lower() or None
    if split is not None and split not in SPLITS:
        raise FedFactoryError(f"{row.place}: split '{split}' is unknown; known are {', '.join(SPLITS)}")
    if image == label:
        raise FedFactoryError(f"{row.place}: image and label are one file, {image}; name the label map")
    label_file, roi_file = (files.mask(mask) if mask else None for mask in (label, roi))
    return RawCase(subject, f"{subject}_{stem_of(image.name)}", files.image(image), label_file, roi_file, split)
