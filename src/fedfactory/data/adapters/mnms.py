"""M&Ms challenge release (setup MS): 4D cine with labels at end diastole (ED) and end systole (ES).

One release folder holds all vendors; the client's option ``vendor`` selects its own. Each subject has two cases.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fedfactory.data.adapter_options import read_options
from fedfactory.data.folders import lies_there, matching
from fedfactory.data.formats import ImageFile
from fedfactory.data.raw import Problem, RawCase
from fedfactory.data.tables import Row, read_table
from fedfactory.errors import FedFactoryError

_TABLE_PATTERN = "*Dataset_[Ii]nformation*opendataset.csv"
_COLUMNS = ("External code", "Vendor", "ED", "ES")
_PHASES = ("ED", "ES")
# Spreadsheets make 2.0 of 2.
_FRAME = re.compile(r"(\d+)(?:\.0*)?")


def find_cases(root: Path, options: Mapping[str, Any], where: str) -> Iterator[RawCase | Problem | Path]:
    """List the ED and ES frames of one vendor; see the package's docstring for arguments and errors."""
    vendor = read_options(options, {"vendor": str}, where)["vendor"]
    files: dict[str, list[Path]] = defaultdict(list)
    for path in matching(root, "**/*_sa.nii.gz"):
        files[path.name].append(path)
    tables = matching(root, _TABLE_PATTERN)
    if not tables:
        raise FedFactoryError(
            f"{where}: the M&Ms table {_TABLE_PATTERN} is missing in {root}; it comes with the release"
        )
    # The newest wins: file names begin with their date.
    yield tables[-1]
    lines: dict[str, Row] = {}
    for row in read_table(tables[-1], _COLUMNS):
        code = row.values["External code"]
        if row.values["Vendor"] != vendor:
            continue
        if code in lines:
            yield Problem(f"{row.place}: subject {code} stands in {lines[code].place} as well; keep one line")
            continue
        lines[code] = row
        # The public table lists subjects that were never released: a row without a file is no error.
        paths = files.get(f"{code}_sa.nii.gz", [])
        if len(paths) > 1:
            places = " and ".join(str(path.parent) for path in paths)
            yield Problem(f"{where}: subject {code} lies in {places}; keep one")
        elif paths:
            yield from _frames(paths[0], row, where)


def _frames(path: Path, row: Row, where: str) -> Iterator[RawCase | Problem]:
    code = row.values["External code"]
    truth = path.with_name(f"{code}_sa_gt.nii.gz")
    labelled = "Unlabeled" not in path.parts
    if labelled and not lies_there(truth):
        yield Problem(f"{where}: {path} has no label {truth.name} beside it; add it or move the subject to Unlabeled")
        return
    frames = {phase: _FRAME.fullmatch(row.values[phase]) for phase in _PHASES}
    for phase, number in frames.items():
        if number is None:
            yield Problem(
                f"{row.place}: the frame {phase} of subject {code} is '{row.values[phase]}', not a 0-based index"
            )
            return
    for phase, number in frames.items():
        frame = int(number.group(1)) if number else 0
        label = ImageFile(truth, frame) if labelled else None
        yield RawCase(code, f"{code}_{phase}", ImageFile(path, frame), label)
