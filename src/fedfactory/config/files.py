"""Configuration files: read, and laid over the one that they are based on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from fedfactory.config.parameters import merged
from fedfactory.errors import FedFactoryError
from fedfactory.storage.files import inside

BASE = "base"
"""Key of the file whose values hold wherever a configuration says nothing else."""


def read_yaml(path: Path, name: str) -> Any:
    """Read YAML with safe types only; a key given twice is an error instead of a silent loss.

    Args:
        path: the file.
        name: what messages call it.

    Raises:
        FedFactoryError: missing file, broken YAML, or a key given twice.
    """
    try:
        # _StrictLoader is a SafeLoader: plain values only, no Python objects.
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except OSError as error:
        raise FedFactoryError(f"{name}: cannot be read ({error.strerror}); correct the path") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise FedFactoryError(f"{name}: is not valid YAML: {reason}") from error


def read_run(files: Sequence[Path], folder: Path) -> dict[str, Any]:
    """A run's values: files merged as Snakemake merges them (later ones win, mappings key by key), over their base.

    Args:
        files: as for ``--configfile``.
        folder: of the project, to which the path of a base is relative.

    Raises:
        FedFactoryError: as :func:`read_yaml` and :func:`over_base`.
    """
    values: dict[str, Any] = {}
    for file in files:
        values = merged(values, _mapping(file, str(file)))
    return over_base(values, folder, ", ".join(map(str, files)))


def over_base(values: Mapping[str, Any], folder: Path, name: str) -> dict[str, Any]:
    """Values laid over those of the file that their key ``base`` names, which may have a base itself.

    Mappings are merged key by key, lists are replaced. A method that is null is no row: so a base's can be left out.
    Data of another source than the base's take its seed alone.

    Args:
        values: of one or several merged files.
        folder: of the project, to which the path of a base is relative.
        name: what messages call the values.

    Raises:
        FedFactoryError: a base outside the folder, one that cannot be read, or a circle of them.
    """
    found, seen = dict(values), [name]
    while (base := found.pop(BASE, None)) is not None:
        key = f"{seen[-1]}: key '{BASE}'"
        if not isinstance(base, str):
            raise FedFactoryError(f"{key}: must be the path of a file, not {base!r}")
        if base in seen:
            raise FedFactoryError(f"{key}: '{base}' is a base of itself; remove the key from one of the files")
        found = merged(_of_one_kind(_mapping(inside(folder, base, key), base), found), found)
        seen.append(base)
    if isinstance(methods := found.get("methods"), Mapping):
        found["methods"] = {method: entry for method, entry in methods.items() if entry is not None}
    return found


def _of_one_kind(base: Mapping[str, Any], values: Mapping[str, Any]) -> Mapping[str, Any]:
    """A base's values without those of its data that make no sense for data of another source."""
    data, own = base.get("data"), values.get("data")
    if not isinstance(data, Mapping) or not isinstance(own, Mapping) or own.get("source") in (None, data.get("source")):
        return base
    return {**base, "data": {key: value for key, value in data.items() if key == "seed"}}


def _mapping(path: Path, name: str) -> Mapping[str, Any]:
    values = read_yaml(path, name)
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise FedFactoryError(f"{name}: must hold a mapping of keys to values")
    return values


class _StrictLoader(yaml.SafeLoader):
    pass


def _mapping_without_doubles(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            line = key_node.start_mark.line + 1
            raise yaml.YAMLError(f"the key '{key}' is given twice (line {line}); rename or remove one")
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_doubles)
