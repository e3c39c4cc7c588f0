"""Adapters: one per public release, and one for anybody's own data.

An adapter is a module of this package, named as in the configuration, with one function::

    def find_cases(root: Path, options: Mapping[str, Any], where: str) -> Iterable[RawCase | Problem]

It lists what a release holds and reads no voxel. `where` names the client for messages. A subject that lacks something
is a `Problem`, so that ``fedfactory check-data`` names all of them; what is wrong with the whole release or the options
is an error. Everything after it (reading, checks, preprocessing) is shared.
"""

import importlib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fedfactory.data.raw import Problem, RawCase
from fedfactory.errors import FedFactoryError


def known() -> list[str]:
    """Names of the adapters."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def survey_cases(adapter: str, root: Path, options: Mapping[str, Any], where: str) -> tuple[list[RawCase], list[str]]:
    """List the cases of one client, and what keeps other subjects from being used.

    Args:
        adapter: name of a module in this package, for instance ``mnms``.
        root: the client's raw folder.
        options: the adapter's own options from the setup's file.
        where: the client, for messages, for instance ``client siemens of setup ms``.

    Returns:
        Cases ordered by name, and a sentence for every problem; not both are empty.

    Raises:
        FedFactoryError: unknown adapter or option, missing or empty folder, a release that is not laid out as expected.
    """
    if adapter not in known():
        raise FedFactoryError(f"{where}: unknown adapter '{adapter}'; known are {', '.join(known())}")
    if not root.is_dir():
        raise FedFactoryError(
            f"{where}: the raw folder {root} is missing; put the release there, or correct 'data.root' in the run's "
            "configuration or 'raw' in the setup's file"
        )
    module = importlib.import_module(f"{__name__}.{adapter}")
    found = list(module.find_cases(root, options, where))
    problems = [item.sentence for item in found if isinstance(item, Problem)]
    cases = [_with_safe_name(item) for item in found if isinstance(item, RawCase)]
    if not cases and not problems:
        raise FedFactoryError(f"{where}: adapter '{adapter}' found no image below {root}; compare it with docs/data.md")
    names = [case.name for case in cases]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise FedFactoryError(
            f"{where}: case '{twice[0]}' occurs twice below {root}; give each image a name of its own"
        )
    return sorted(cases, key=lambda case: case.name), problems


def find_cases(adapter: str, root: Path, options: Mapping[str, Any], where: str) -> list[RawCase]:
    """List the cases of one client, all of which can be used.

    Args:
        adapter: as for :func:`survey_cases`, and so are the others.
        root: the client's raw folder.
        options: the adapter's own options.
        where: the client.

    Returns:
        At least one case, ordered by name.

    Raises:
        FedFactoryError: as :func:`survey_cases`, and the first subject that cannot be used.
    """
    cases, problems = survey_cases(adapter, root, options, where)
    if problems:
        more = f" ({len(problems) - 1} more; fedfactory check-data lists them)" if len(problems) > 1 else ""
        raise FedFactoryError(problems[0] + more)
    return cases


def _with_safe_name(case: RawCase) -> RawCase:
    """Case names become file names: letters, digits, ``_`` and ``-`` only."""
    return replace(case, name=re.sub(r"[^A-Za-z0-9_-]+", "-", case.name))
