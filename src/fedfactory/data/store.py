"""A client's store: what every method reads, and nothing else.

::

    images.npy      (N, size, size) float32 in [-1, 1]; memory-maps, padding is -1
    labels.npy      (N, size, size) uint8; 0 background, 1..C in the order of the classes; 0 where unlabelled and in
                    every test volume: the truth of the test set lies elsewhere, for scoring only
    index.csv       one row per slice, in the order of the arrays
    store.json      classes, geometry of every case, the client's own statistics

All slices of the foreground are kept. Where the data bring a mask of the organ that is no truth of the task (a brain
mask with vessels), it says which slices have a position; where they do not, all have: a label would tell more of a
target than its few labelled slices.
"""

import csv
import json
import mmap
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from fedfactory.data.geometry import Geometry
from fedfactory.errors import FedFactoryError
from fedfactory.orchestration.labels import NONE, Labels
from fedfactory.storage.files import parse_json


class SliceRow(NamedTuple):
    """One slice.

    Attributes:
        subject: unit of splits and statistics.
        case: volume.
        slice: index within the volume, from 0.
        position_bin: floor(rank * bins / number) among the slices that the organ's own mask holds, or among all where
            there is none; -1 outside the mask.
        split: ``train``, ``validation`` or ``test``.
        labelled: whether the volume has a label map.
        in_mt: whether the slice belongs to M_t, the target's few labelled slices.
    """

    subject: str
    case: str
    slice: int
    position_bin: int
    split: str
    labelled: bool
    in_mt: bool


@dataclass(frozen=True)
class Volume:
    """Slices of one case.

    Attributes:
        name: unique within the client; letters, digits, ``_`` and ``-``.
        images: (n, size, size) float32 in [-1, 1].
        labels: (n, size, size) uint8, or None where the reader may not see them.
    """

    name: str
    images: np.ndarray
    labels: Any


class StoreWriter:
    """Fill a store volume by volume; nothing is kept in memory but the index.

    Attributes:
        rows: the index so far.
        organ: whether each slice shows the organ, by its mask or its label: to choose M_t by, and not written.
    """

    def __init__(self, folder: Path, size: int, count: int) -> None:
        """Reserve files for ``count`` slices of ``size`` pixels in ``folder``."""
        self.rows: list[SliceRow] = []
        self.organ: list[bool] = []
        self._folder = folder
        self._geometries: dict[str, Geometry] = {}
        shape = (count, size, size)
        self._images = _reserved(folder / "images.npy", np.float32, shape)
        self._labels = _reserved(folder / "labels.npy", np.uint8, shape)

    def add(
        self,
        rows: Sequence[SliceRow],
        geometry: Geometry,
        images: np.ndarray,
        labels: np.ndarray,
        organ: Sequence[bool],
    ) -> None:
        """Append one volume."""
        start = len(self.rows)
        self.organ += organ
        self._images[start : start + len(rows)] = images
        self._labels[start : start + len(rows)] = labels
        self._geometries[rows[0].case] = geometry
        self.rows += rows
        self._let_go()

    def rescale(self, low: float, high: float) -> None:
        """Clip to [low, high] and map to [-1, 1] in place; NaN (padding) becomes -1."""
        for start in range(0, len(self._images), 256):
            self._images[start : start + 256] = rescaled(self._images[start : start + 256], low, high)
            self._let_go()

    def _let_go(self) -> None:
        """Give written pages back to the system, which writes them to the disk in its own time."""
        for array in (self._images, self._labels):
            pages: Any = array.base
            pages.madvise(mmap.MADV_DONTNEED)

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """The images and labels written so far."""
        return self._images, self._labels

    def close(self, classes: Sequence[str], statistics: Mapping[str, Any]) -> None:
        """Write index and geometry, and flush the arrays."""
        self._images.flush()
        self._labels.flush()
        with (self._folder / "index.csv").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(SliceRow._fields)
            writer.writerows([int(v) if isinstance(v, bool) else v for v in row] for row in self.rows)
        content = {
            "classes": list(classes),
            "statistics": dict(statistics),
            "geometry": {name: geometry.to_json() for name, geometry in self._geometries.items()},
        }
        (self._folder / "store.json").write_text(json.dumps(content, indent=1) + "\n")


def rescaled(images: np.ndarray, low: float, high: float) -> np.ndarray:
    """Images clipped to [low, high] and mapped to [-1, 1]; NaN (padding) becomes -1."""
    scaled = (np.clip(images, low, high) - low) * (2 / (high - low)) - 1
    # Rounding may end a hair outside the promised range.
    return np.nan_to_num(np.clip(scaled, -1, 1), nan=-1.0)


def _reserved(file: Path, kind: type, shape: tuple[int, ...]) -> np.memmap:
    """An array of zeros on the disk, with all its room: a mapped file that finds none later ends the process."""
    array = np.lib.format.open_memmap(file, "w+", kind, shape)
    if hasattr(os, "posix_fallocate"):
        with file.open("r+b") as content:
            os.posix_fallocate(content.fileno(), 0, file.stat().st_size)
    return array


@dataclass(frozen=True)
class ClientView:
    """Read a client's store; each method of this class says which data it lets out.

    Attributes:
        folder: the store.
        labels: which labels it lets out; asking for others is an error.
    """

    folder: Path
    labels: Labels = NONE

    def __post_init__(self) -> None:
        """Refuse a folder that is no store."""
        if not (self.folder / "store.json").is_file():
            raise FedFactoryError(f"{self.folder} is no client store; make it with the rule prepare_client")

    @cached_property
    def _json(self) -> dict[str, Any]:
        return parse_json((self.folder / "store.json").read_text())

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names; label value v is ``classes[v - 1]``."""
        return tuple(self._json["classes"])

    @cached_property
    def rows(self) -> list[SliceRow]:
        """The index."""
        with (self.folder / "index.csv").open(newline="") as file:
            return [
                SliceRow(
                    subject=row["subject"],
                    case=row["case"],
                    slice=int(row["slice"]),
                    position_bin=int(row["position_bin"]),
                    split=row["split"],
                    labelled=row["labelled"] == "1",
                    in_mt=row["in_mt"] == "1",
                )
                for row in csv.DictReader(file)
            ]

    @property
    def statistics(self) -> Mapping[str, Any]:
        """Of the client's preparation: clip limits ``clip_z``, and ``target_spacing_mm``."""
        return self._json["statistics"]

    def geometry(self, case: str) -> Geometry:
        """How a case was brought to slices."""
        return Geometry.from_json(self._json["geometry"][case])

    def labelled_volumes(self, split: str) -> list[Volume]:
        """Volumes of a split with their labels: for the source, or a target's validation.

        Raises:
            FedFactoryError: the job may not see them.
        """
        if split == "test":
            raise ValueError("the truth of the test set is not in the store")
        if not {"train": self.labels.training, "validation": self.labels.validation}[split]:
            self._refuse(f"labels of {split} volumes")
        return list(self._volumes(split, labels=True))

    def unlabelled_images(self, split: str = "train") -> Iterator[Volume]:
        """Volumes of a split without labels, labelled or not: what a target may use of its own data."""
        return self._volumes(split, labels=False)

    def test_volumes(self) -> Iterator[Volume]:
        """Test volumes that can be scored, without labels."""
        truth = {row.case for row in self.rows if row.split == "test" and row.labelled}
        return (volume for volume in self._volumes("test", labels=False) if volume.name in truth)

    def few_shot(self) -> Volume:
        """M_t: the target's labelled slices (|M_t|, size, size), as many as may be seen, in the order of the index.

        Raises:
            FedFactoryError: the job may see none, or there are fewer.
        """
        if not self.labels.of_m_t:
            self._refuse("slices of M_t")
        wanted, m_t = self.labels.few_shot, [number for number, row in enumerate(self.rows) if row.in_mt]
        if not m_t:
            raise FedFactoryError(f"{self.folder} holds no M_t; only targets of a setup have one")
        if wanted is not None and wanted > len(m_t):
            raise FedFactoryError(
                f"{self.folder}: M_t has {len(m_t)} slices, the method declares {wanted}; raise 'few_shot.slices'"
            )
        chosen = m_t[:wanted]
        return Volume("few_shot", self._images[chosen], self._labels[chosen])

    def _refuse(self, what: str) -> NoReturn:
        raise FedFactoryError(
            f"{self.folder}: this job asks for {what}, which its method does not declare; declare them ('labels' in "
            "its declaration), so that the table counts them"
        )

    def _volumes(self, split: str, *, labels: bool) -> Iterator[Volume]:
        numbers: dict[str, list[int]] = {}
        for number, row in enumerate(self.rows):
            if row.split == split and (row.labelled or not labels):
                numbers.setdefault(row.case, []).append(number)
        for case, chosen in numbers.items():
            yield Volume(case, self._images[chosen], self._labels[chosen] if labels else None)

    @cached_property
    def _images(self) -> np.ndarray:
        return np.load(self.folder / "images.npy", mmap_mode="r", allow_pickle=False)

    @cached_property
    def _labels(self) -> np.ndarray:
        return np.load(self.folder / "labels.npy", mmap_mode="r", allow_pickle=False)
