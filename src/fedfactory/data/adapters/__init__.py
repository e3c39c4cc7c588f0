"""Adapters: one per public release, and one for anybody's own data.

An adapter is a module of this package, named as in the configuration, with one function::

    def find_cases(root: Path, options: Mapping[str, Any], where: str) -> Iterable[RawCase | Problem | Path]

It lists what a release holds and reads no voxel; files that it reads itself, such as a table, it yields as paths.
`where` names the client for messages. A subject that lacks something is a `Problem`, so that ``fedfactory check-data``
names all of them; what is wrong with the whole release or the options is an error. Files are found by
:mod:`fedfactory.data.folders`, which follows links. Everything after it (reading, checks, preprocessing) is shared.
"""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fedfactory.data.folders import safe_name, twins
from fedfactory.data.formats import LARGEST, readable
from fedfactory.data.raw import Problem, RawCase
from fedfactory.errors import FedFactoryError


def known() -> list[str]:
    """Names of the adapters."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


@dataclass(frozen=True)
class Found:
    """What an adapter found of one client.

    Attributes:
        cases: ordered by name.
        problems: a sentence for everything that keeps a subject from being used.
        tables: files that tell of images.
    """

    cases: list[RawCase]
    problems: list[str]
    tables: list[Path]

    @property
    def files(self) -> set[Path]:
        """All files that are read."""
        parts = (part for case in self.cases for part in (case.image, *case.masks))
        return {*self.tables, *(path for part in parts for path in part.paths)}


def survey_cases(adapter: str, root: Path, options: Mapping[str, Any], where: str, largest: int = LARGEST) -> Found:
    """List the cases of one client, and what keeps other subjects from being used.

    Args:
        adapter: name of a module in this package, for instance ``mnms``.
        root: the client's raw folder.
        options: the adapter's own options from the setup's file.
        where: the client, for messages, for instance ``client siemens of setup ms``.
        largest: voxels that a file may claim to hold.

    Returns:
        Cases or problems; not both are empty.

    Raises:
        FedFactoryError: unknown adapter or option, missing or empty folder, a release that is not laid out as expected.
    """
    if adapter not in known():
        raise FedFactoryError(f"{where}: unknown adapter '{adapter}'; known are {', '.join(known())}")
    with readable(root):
        there = root.is_dir()
    if not there:
        raise FedFactoryError(
            f"{where}: the raw folder {root} is missing; put the release there, or correct 'data.root' in the run's "
            "configuration or 'raw' in the setup's file"
        )
    module = importlib.import_module(f"{__name__}.{adapter}")
    try:
        items = list(module.find_cases(root, options, where))
    except PermissionError as error:
        raise FedFactoryError(f"{error.filename}: may not be read; correct its permissions") from error
    found = Found(
        cases=sorted(
            (_with_safe_names(item).limited(largest) for item in items if isinstance(item, RawCase)), key=_name
        ),
        problems=[item.sentence for item in items if isinstance(item, Problem)],
        tables=[item for item in items if isinstance(item, Path)],
    )
    if not found.cases and not found.problems:
        raise FedFactoryError(f"{where}: adapter '{adapter}' found no image below {root}; compare it with docs/data.md")
    found.problems.extend(_doubles(found.cases))
    return found


def find_cases(
    adapter: str, root: Path, options: Mapping[str, Any], where: str, largest: int = LARGEST
) -> list[RawCase]:
    """List the cases of one client, all of which can be used.

    Args:
        adapter: as for :func:`survey_cases`, and so are the others.
        root: the client's raw folder.
        options: the adapter's own options.
        where: the client.
        largest: voxels that a file may claim to hold.

    Returns:
        At least one case, ordered by name.

    Raises:
        FedFactoryError: as :func:`survey_cases`, and the first subject that cannot be used.
    """
    found = survey_cases(adapter, root, options, where, largest)
    if found.problems:
        count = len(found.problems) - 1
        more = f" ({count} more; fedfactory check-data lists them)" if count else ""
        raise FedFactoryError(found.problems[0] + more)
    return found.cases


def _doubles(cases: Sequence[RawCase]) -> Iterator[str]:
    """Images of one name."""
    first: dict[str, RawCase] = {}
    for case in cases:
        if (other := first.setdefault(case.name, case)) is not case:
            yield (
                f"{case.image.path}: has the name '{case.name}', and {other.image.path} has it as well; give each "
                "image a name of its own"
            )


def same_images(cases: Sequence[RawCase]) -> Iterator[str]:
    """Images that two subjects share: one would train, and the other test."""
    subjects = {path: case.subject for case in cases for path in case.image.paths if path.is_file()}
    for path, other in twins(subjects):
        if subjects[path] != subjects[other]:
            yield f"{path} has the same bytes as {other}, and belongs to another subject; keep one of them"


def _name(case: RawCase) -> str:
    return case.name


def _with_safe_names(case: RawCase) -> RawCase:
    """Case names become file names, subjects stand in tables."""
    return replace(case, name=safe_name(case.name), subject=safe_name(case.subject))
