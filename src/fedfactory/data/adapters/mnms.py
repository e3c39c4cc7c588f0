"""M&Ms challenge release (setup MS): 4D cine with labels at end diastole (ED) and end systole (ES).

One release folder holds all vendors; the client's option ``vendor`` selects its own. Each subject has two cases.
"""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fedfactory.data.adapter_options import read_options
from fedfactory.data.raw import NiftiSource, Problem, RawCase
from fedfactory.errors import FedFactoryError

_TABLE_PATTERN = "*Dataset_[Ii]nformation*opendataset.csv"
_COLUMNS = ("External code", "Vendor", "ED", "ES")


def find_cases(root: Path, options: Mapping[str, Any], where: str) -> Iterator[RawCase | Problem]:
    """List the ED and ES frames of one vendor; see the package's docstring for arguments and errors."""
    vendor = read_options(options, {"vendor": str}, where)["vendor"]
    folders = {path.name: path for path in sorted(root.glob("**/*_sa.nii.gz"))}
    for row in _read_table(root, where):
        path = folders.get(f"{row['External code']}_sa.nii.gz")
        # The public table lists subjects that were never released: a row without a file is no error.
        if row["Vendor"] == vendor and path is not None:
            yield from _frames(path, row, where)


def _frames(path: Path, row: Mapping[str, str], where: str) -> Iterator[RawCase | Problem]:
    code = row["External code"]
    truth = path.with_name(f"{code}_sa_gt.nii.gz")
    labelled = "Unlabeled" not in path.parts
    if labelled and not truth.is_file():
        yield Problem(f"{where}: {path} has no label {truth.name} beside it; add it or move the subject to Unlabeled")
        return
    for phase in ("ED", "ES"):
        if not row[phase].isdigit():
            yield Problem(f"{where}: the frame {phase} of subject {code} is '{row[phase]}', not a 0-based index")
            return
        frame = int(row[phase])
        label = NiftiSource(truth, frame) if labelled else None
        yield RawCase(code, f"{code}_{phase}", NiftiSource(path, frame), label)


def _read_table(root: Path, where: str) -> list[dict[str, str]]:
    tables = sorted(root.glob(_TABLE_PATTERN))
    if not tables:
        raise FedFactoryError(
            f"{where}: the M&Ms table {_TABLE_PATTERN} is missing in {root}; it comes with the release"
        )
    # The newest wins: file names begin with their date.
    with tables[-1].open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    missing = [column for column in _COLUMNS if not rows or column not in rows[0]]
    if missing:
        raise FedFactoryError(f"{where}: {tables[-1]} has no column '{missing[0]}'")
    return rows
