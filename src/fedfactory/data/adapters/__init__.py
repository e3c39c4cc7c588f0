"""Adapters: one per public release, and one for anybody's own data.

An adapter is a module of this package, named as in the configuration, with one function::

    def find_cases(root: Path, options: Mapping[str, Any], where: str) -> list[RawCase]

It lists what a release holds and reads no voxel. `where` names the client for messages. Everything after it
(reading, checks, preprocessing) is shared.
"""

import importlib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fedfactory.data.raw import RawCase
from fedfactory.errors import FedFactoryError


def known() -> list[str]:
    """Names of the adapters."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def find_cases(adapter: str, root: Path, options: Mapping[str, Any], where: str) -> list[RawCase]:
    """List the cases of one client with the adapter of its release.

    Args:
        adapter: name of a module in this package, for instance ``mnms``.
        root: the client's raw folder.
        options: the adapter's own options from the setup's file.
        where: the client, for messages, for instance ``client siemens of setup ms``.

    Returns:
        At least one case, ordered by name.

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
    cases = [_with_safe_name(case) for case in module.find_cases(root, options, where)]
    if not cases:
        raise FedFactoryError(f"{where}: adapter '{adapter}' found no image below {root}; compare it with docs/data.md")
    names = [case.name for case in cases]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise FedFactoryError(
            f"{where}: case '{twice[0]}' occurs twice below {root}; give each image a name of its own"
        )
    return sorted(cases, key=lambda case: case.name)


def _with_safe_name(case: RawCase) -> RawCase:
    """Case names become file names: letters, digits, ``_`` and ``-`` only."""
    return replace(case, name=re.sub(r"[^A-Za-z0-9_-]+", "-", case.name))
