"""Anybody's own data: a table, an nnU-Net raw dataset, or a folder of images with an optional folder of labels.

Table (option ``table``): a CSV with the columns ``subject,image`` and optionally ``label`` (empty for an unlabelled
image), ``roi`` and ``split``; paths are relative to the raw folder. Several rows of one subject stay in one split.

Folders (options ``images`` and ``labels``): NIfTI files of the same name in both; ``_0000`` before the ending, as in
nnU-Net's ``imagesTr``, is accepted. Without the option ``labels`` the site is unlabelled.
"""

import csv
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fedfactory.data.adapter_options import read_options
from fedfactory.data.raw import NiftiSource, Problem, RawCase
from fedfactory.data.splits import SPLITS
from fedfactory.errors import FedFactoryError
from fedfactory.storage.files import inside

_ENDINGS = (".nii.gz", ".nii")
_COLUMNS = ("subject", "image", "label", "roi", "split")


def find_cases(root: Path, options: Mapping[str, Any], where: str) -> Iterator[RawCase | Problem]:
    """List the images of a table or of folders; see the package's docstring for arguments and errors."""
    values = read_options(options, {"table": "", "images": "", "labels": ""}, where)
    if bool(values["table"]) == bool(values["images"]):
        raise FedFactoryError(f"{where}: the generic adapter takes either the option 'table' or the option 'images'")
    if values["table"]:
        yield from _from_table(root, inside(root, values["table"], f"{where}, adapter option 'table'"), where)
        return
    images = inside(root, values["images"], f"{where}, adapter option 'images'")
    labels = inside(root, values["labels"], f"{where}, adapter option 'labels'") if values["labels"] else None
    yield from _from_folders(images, labels, where)


def _from_folders(images: Path, labels: Path | None, where: str) -> Iterator[RawCase | Problem]:
    for folder in (images, labels):
        if folder is not None and not folder.is_dir():
            raise FedFactoryError(f"{where}: the folder {folder} is missing; correct the adapter's options or make it")
    for image in sorted(path for path in images.iterdir() if path.name.endswith(_ENDINGS) and path.name[0] != "."):
        if re.search(r"_000[1-9]\.", image.name):
            yield Problem(f"{where}: {image} is a further channel; only one-channel images are supported")
            continue
        name = _stem(image).removesuffix("_0000")
        label = None
        if labels is not None:
            label = next((labels / f"{name}{end}" for end in _ENDINGS if (labels / f"{name}{end}").is_file()), None)
            if label is None:
                yield Problem(f"{where}: {image} has no label {name}.nii.gz in {labels}; add it or remove the image")
                continue
        yield RawCase(name, name, NiftiSource(image), NiftiSource(label) if label else None)


def _from_table(root: Path, table: Path, where: str) -> list[RawCase | Problem]:
    if not table.is_file():
        raise FedFactoryError(f"{where}: the table {table} is missing")
    rows = _read_rows(table)
    cases = [_from_row(root, row, f"{table}, line {number}") for number, row in enumerate(rows, start=2)]
    seen: set[Path] = set()
    for number, case in enumerate(cases):
        if isinstance(case, RawCase):
            path = case.image.path
            if path in seen:
                cases[number] = Problem(f"{table}, line {number + 2}: {path} is listed twice; keep one line per image")
            seen.add(path)
    return cases


def _read_rows(table: Path) -> list[dict[str, str]]:
    """Rows of a table, blanks around values removed."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restkey="", restval="")
            columns = [(name or "").strip() for name in reader.fieldnames or []]
            reader.fieldnames = columns
            rows = [{key: value.strip() for key, value in row.items() if key} for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise FedFactoryError(f"{table}: cannot be read as a table ({error}); save it as CSV in UTF-8") from error
    unknown = [name for name in columns if name not in _COLUMNS]
    if unknown:
        raise FedFactoryError(f"{table}: unknown column '{unknown[0]}'; known are {', '.join(_COLUMNS)}")
    if not rows or not {"subject", "image"} <= set(columns):
        raise FedFactoryError(f"{table}: needs the columns 'subject' and 'image' and at least one row")
    return rows


def _from_row(root: Path, row: Mapping[str, str], line: str) -> RawCase | Problem:
    try:
        return _case(root, row, line)
    except FedFactoryError as error:
        return Problem(str(error))


def _case(root: Path, row: Mapping[str, str], line: str) -> RawCase:
    def source(column: str) -> NiftiSource | None:
        relative = row.get(column) or ""
        if not relative:
            return None
        path = inside(root, relative, f"{line}, column '{column}'")
        if not path.is_file():
            raise FedFactoryError(f"{line}: {path} is missing")
        return NiftiSource(path)

    image = source("image")
    if image is None or not row["subject"]:
        raise FedFactoryError(f"{line}: 'subject' and 'image' must not be empty")
    split = row.get("split") or None
    if split is not None and split not in SPLITS:
        raise FedFactoryError(f"{line}: split '{split}' is unknown; known are {', '.join(SPLITS)}")
    name = f"{row['subject']}_{_stem(image.path)}"
    return RawCase(row["subject"], name, image, source("label"), source("roi"), split)


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii")
