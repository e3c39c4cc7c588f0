"""Which releases there are, and what a complete copy of each holds: config/data.yaml."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from fedfactory.config.parameters import STRICT, Count, Natural, read
from fedfactory.config.run import Config, read_yaml
from fedfactory.errors import FedFactoryError
from fedfactory.storage.files import inside


@dataclass(frozen=True)
class Release:
    """A public or private data set.

    Attributes:
        title: what it is.
        version: which version this project was written against.
        licence: its licence, or whose terms hold.
        access: where to ask for it.
        copies: what its terms say about copies.
        checksums: file below ``config/`` with the SHA-256 of its files, as ``sha256sum`` writes it; None: not known.
    """

    __pydantic_config__ = STRICT
    title: str
    version: str
    licence: str
    access: str
    copies: str
    checksums: str | None


@dataclass(frozen=True)
class Expected:
    """What a complete copy holds of one client.

    Attributes:
        subjects: number of subjects.
        volumes: number of volumes.
        labelled: those with a label map.
        slices: slices of a typical volume, for the size of a store.
        split: volumes for training, validation and test in the paper; None: it is not of the paper.
        stated: whether a source states that split; otherwise it follows from the paper's fractions.
    """

    __pydantic_config__ = STRICT
    subjects: Count
    volumes: Count
    labelled: Count
    slices: Count
    split: tuple[Natural, Natural, Natural] | None = None
    stated: bool = False


@dataclass(frozen=True)
class ReleaseTable:
    """All of ``config/data.yaml``.

    Attributes:
        releases: by folder, as ``raw`` in a setup's file.
        clients: by setup and client.
    """

    __pydantic_config__ = STRICT
    releases: dict[str, Release]
    clients: dict[str, dict[str, Expected]]


# A slice in a store: float32 image and uint8 label of every pixel.
_BYTES_PER_PIXEL = 5


def store_mb(table: ReleaseTable, config: Config, setup: str, client: str) -> float:
    """About how many MB a client's store takes, by what a complete release holds; 0 for phantoms and unknown clients.

    Args:
        table: what releases hold.
        config: the run.
        setup: a setup.
        client: one of its clients.
    """
    expected = table.clients.get(setup, {}).get(client)
    if expected is None or config.phantom:
        return 0.0
    return expected.volumes * expected.slices * config.preprocessing["image_size"] ** 2 * _BYTES_PER_PIXEL / 1e6


def read_releases(project: Path) -> ReleaseTable:
    """Read ``config/data.yaml`` of a project.

    Raises:
        FedFactoryError: broken YAML, an unknown, missing or wrong key.
    """
    name = "config/data.yaml"
    try:
        return read(ReleaseTable, read_yaml(project / name, name), "data")
    except FedFactoryError as error:
        raise FedFactoryError(f"{name}: {error}") from None


def read_checksums(project: Path, folder: str, release: Release) -> dict[str, str]:
    """SHA-256 (64 hexadecimal digits) of files of a release, by their path below its folder.

    Args:
        project: folder of the project.
        folder: the release's folder, as ``config/data.yaml`` names it.
        release: what it says about it.

    Raises:
        FedFactoryError: no such file, one outside ``config/``, a line of another form, a path outside the release.
    """
    if release.checksums is None:
        return {}
    key = f"config/data.yaml: key 'releases.{folder}.checksums'"
    file, found = inside(project / "config", release.checksums, key), {}
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise FedFactoryError(f"{key}: {file} cannot be read: {error}") from None
    for number, line in enumerate(text.splitlines(), 1):
        parts = re.fullmatch("([0-9a-f]{64}) [ *](.+)", line)
        if parts is None:
            raise FedFactoryError(f"{file}, line {number}: is not '<SHA-256>  <path>'; write it with sha256sum")
        inside(Path(folder), parts[2], f"{file}, line {number}")
        found[parts[2]] = parts[1]
    return found
