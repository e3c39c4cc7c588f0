"""Prepare one client: crop, resample, normalise, slice, split, choose M_t.

Every statistic is the client's own and comes from its training and validation volumes. Volumes pass through memory one
at a time, so that the size of a data set changes the time but not the memory.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from fedfactory.data.formats import LARGEST
from fedfactory.data.geometry import (
    Box,
    Geometry,
    Orientation,
    as_picture,
    foreground,
    foreground_box,
    orient,
    oriented_spacing,
    resample,
)
from fedfactory.data.raw import RawCase, RawVolume, read_case
from fedfactory.data.splits import SplitSizes, choose_few_shot, split_subjects
from fedfactory.data.store import SliceRow, StoreWriter
from fedfactory.data.tiling import Corner, Tiles, cover, spread
from fedfactory.errors import FedFactoryError
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.files import new_file, new_folder
from fedfactory.training.seeds import derive_seed

# z-scores are counted in bins of 0.002 from -20 to 20; beyond that only a defect lies.
_HISTOGRAM_EDGES = np.linspace(-20, 20, 20_001)
_PREVIEW_SUBJECTS = 3
# Share by which labels may change on their way to slices before somebody is told.
_CHANGED = 0.1
# Rounding of mask edges may cost a voxel; more than two percent of a label outside the image is a mistake.
_LOST_LABEL = 0.02


@dataclass(frozen=True)
class ClientTask:
    """What to prepare, as the configuration says it.

    Attributes:
        setup: name of the setup.
        client: name of the client.
        classes: class names; value v in a stored label map is ``classes[v - 1]``.
        label_values: value in the raw label maps -> stored value.
        orientation: ``RAS`` or ``native``, see :class:`fedfactory.data.geometry.Geometry`.
        image_size: edge of a slice in pixels.
        position_bins: number of slice-position bins (29 in the paper's code).
        clip_percentiles: percentiles of the client's intensity histogram that become -1 and 1.
        split: fractions of the labelled subjects.
        few_shot: |M_t|; 0 for a client that is only a source.
        needs_labels: whether labelled training subjects are required (the source).
        scored: whether the client has a test set; a site without labels has none and only trains.
        seed: seed of split and M_t.
        tiles: how its planes are cut; None where a plane is a slice.
        largest: voxels that a file may claim to hold.
    """

    setup: str
    client: str
    classes: tuple[str, ...]
    label_values: Mapping[int, int]
    orientation: Orientation
    image_size: int
    position_bins: int
    clip_percentiles: tuple[float, float]
    split: SplitSizes
    few_shot: int
    needs_labels: bool
    scored: bool
    seed: int
    tiles: Tiles | None = None
    largest: int = LARGEST

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "ClientTask":
        """Build a task from JSON, which knows neither tuples nor integer keys."""
        return cls(
            **{
                **data,
                "classes": tuple(data["classes"]),
                "label_values": {int(key): value for key, value in data["label_values"].items()},
                "clip_percentiles": tuple(data["clip_percentiles"]),
                "split": SplitSizes(**data["split"]),
                "tiles": Tiles(**data["tiles"]) if data.get("tiles") else None,
            }
        )

    @property
    def where(self) -> str:
        """The client, for messages."""
        return f"client {self.client} of setup {self.setup}"


@dataclass
class Scan:
    """What one volume contributes before anything is normalised.

    Attributes:
        case: the volume.
        split: of its subject.
        box: its foreground, after orientation.
        shape: of the raw array.
        affine: raw affine.
        spacing: of its voxels in mm, after orientation.
        view: field of view in the box, (x, y, z) bool, where planes are cut into tiles.
        geometry: how it is brought to slices, once all volumes are known.
    """

    case: RawCase
    split: str
    box: Box
    shape: tuple[int, int, int]
    affine: np.ndarray
    spacing: tuple[float, float, float]
    view: np.ndarray | None
    geometry: Geometry = field(init=False)


def prepare_client(task: ClientTask, cases: Sequence[RawCase], out: Path, truth: Path, preview: Path) -> None:
    """Write the client's store, the truth of its test cases apart from it, and a preview.

    Args:
        task: what to prepare.
        cases: what the adapter found.
        out: folder of the store, see :mod:`fedfactory.data.store`; written whole or not at all.
        truth: folder for ``<case>_image.nii.gz`` and ``<case>_truth.nii.gz`` of each labelled test case, in the
            geometry of the raw image. Only scoring reads it: no method's job has it among its inputs.
        preview: ``.npz`` with a few training slices ``images`` (n, size, size) float32 in [-1, 1] and ``labels``
            uint8, top row first, for the gallery.

    Raises:
        FedFactoryError: bad data; the message names the file and what to do.
    """
    splits = splits_of(task, cases)
    progress = Progress(f"prepare {task.setup}/{task.client}")
    scans = []
    for number, case in enumerate(cases, start=1):
        scans.append(look_at(task, case, splits[case.subject]))
        progress.update(number, 2 * len(cases), f"checked {case.name}")
    scans = _with_geometry(task, scans)
    with new_folder(out) as folder, new_folder(truth) as truth_folder, new_file(preview) as preview_file:
        writer = StoreWriter(folder, task.image_size, sum(scan.geometry.count for scan in scans))
        histogram = np.zeros(len(_HISTOGRAM_EDGES) - 1, dtype=np.int64)
        for number, scan in enumerate(scans, start=len(cases) + 1):
            histogram += _write_volume(task, scan, writer, truth_folder)
            progress.update(number, 2 * len(cases), f"sliced {scan.case.name}")
        low, high = _percentiles(histogram, task.clip_percentiles)
        writer.rescale(low, high)
        _mark_few_shot(task, writer)
        writer.close(task.classes, {"clip_z": [low, high], "target_spacing_mm": scans[0].geometry.target_spacing})
        _write_preview(writer, task.orientation, preview_file)


def splits_of(task: ClientTask, cases: Sequence[RawCase]) -> dict[str, str]:
    """The split of every subject, ``{subject: "train" | "validation" | "test"}``; no voxel is read.

    Raises:
        FedFactoryError: as :func:`fedfactory.data.splits.split_subjects`.
    """
    seed = derive_seed("split", task.setup, task.client, task.seed)
    return split_subjects(cases, task.split if task.scored else None, seed, task.where)


def look_at(task: ClientTask, case: RawCase, split: str) -> Scan:
    """Read a volume for its checks, its foreground and its spacing; the voxels are dropped again.

    Raises:
        FedFactoryError: as :func:`fedfactory.data.raw.read_case`, or a label that lies outside the foreground.
    """
    volume = read_case(case, task.label_values)
    box = foreground_box(orient(volume.image, volume.affine, task.orientation))
    spacing = oriented_spacing(volume.affine, task.orientation)
    if volume.label is not None:
        _check_label_inside(orient(volume.label, volume.affine, task.orientation), box, case)
    view = None
    if volume.roi is not None and case.roi is not None:
        inside = orient(volume.roi, volume.affine, task.orientation)[tuple(slice(*edges) for edges in box)]
        if not inside.any():
            raise FedFactoryError(f"{case.roi.path}: the mask lies where {case.image.path} shows nothing; correct it")
    if task.tiles:
        view = _field_of_view(volume, task.orientation)[tuple(slice(start, stop) for start, stop in box)]
    return Scan(case, split, box, volume.image.shape, volume.affine, spacing, view)


def _field_of_view(volume: RawVolume, orientation: Orientation) -> np.ndarray:
    """Where an oriented volume shows something: by its mask, or where it is brighter than air; (x, y) bool."""
    seen = foreground(volume.image) if volume.roi is None else volume.roi
    return orient(seen, volume.affine, orientation)


def changed_labels(task: ClientTask, scans: Sequence[Scan]) -> Iterator[str]:
    """Sentences for labels that are not the same on slices: by volume, or by the number of their connected pieces.

    Args:
        task: what is to be prepared.
        scans: of all cases of the client.
    """
    counts = {"volume": _voxels, "number of connected pieces": _pieces}
    changes: dict[str, list[tuple[float, str]]] = {name: [] for name in counts}
    for found in _with_geometry(task, list(scans)):
        if found.case.label is None or found.split == "test":
            continue
        label = np.asarray(read_case(found.case, task.label_values).label)
        # Whole planes: what lies outside of training tiles is not lost on the way.
        geometry = replace(found.geometry, tiles=None, size=2 * max(found.geometry.resampled_shape))
        back = geometry.to_raw(geometry.to_slices(geometry.to_planes(label, labels=True), 0))
        for name, count in counts.items():
            changes[name].append((count(back) / count(label) - 1, found.case.name))
    for name, own in changes.items():
        mean = float(np.mean([change for change, _ in own])) if own else 0.0
        if abs(mean) > _CHANGED:
            worst, case = max(own, key=lambda pair: abs(pair[0]))
            if task.tiles:
                on, advice = (
                    f"pixels of {task.tiles.spacing_mm:g} mm",
                    "make 'spacing_mm' of the client's tiles smaller",
                )
            else:
                on = f"slices of {task.image_size} pixels"
                advice = "raise 'preprocessing.image_size', or cut larger pictures into 'tiles'"
            yield (
                f"{task.where}: on {on} the {name} of labels changes by {mean:+.0%} ({worst:+.0%} in {case}); {advice}"
            )


def _voxels(label: np.ndarray) -> int:
    return int((label > 0).sum())


def _pieces(label: np.ndarray) -> int:
    from scipy.ndimage import generate_binary_structure
    from scipy.ndimage import label as pieces_of

    return int(pieces_of(label > 0, generate_binary_structure(3, 3))[1])


def _check_label_inside(label: np.ndarray, box: Box, case: RawCase) -> None:
    """Refuse a label of which a visible part lies where the image shows nothing: the two do not belong together."""
    total = int((label > 0).sum())
    kept = int((label[tuple(slice(start, stop) for start, stop in box)] > 0).sum())
    if total - kept > _LOST_LABEL * total:
        raise FedFactoryError(
            f"{case.label and case.label.path}: {100 * (total - kept) / total:.0f} % of the label lie outside the "
            f"foreground of {case.image.path}; check that both belong together"
        )


def _with_geometry(task: ClientTask, scans: list[Scan]) -> list[Scan]:
    """Give each volume its geometry: the client's median spacing, coarser if its images would not fit the slice."""
    used = [scan for scan in scans if scan.split != "test"]
    if not used:
        raise FedFactoryError(f"{task.where}: no training or validation volume is left; lower 'split.test'")
    spacing = np.median([scan.spacing for scan in used], axis=0)
    if task.tiles:
        spacing[:2] = task.tiles.spacing_mm
    else:
        extents = [[(b - a) * s for (a, b), s in zip(scan.box, scan.spacing, strict=True)][:2] for scan in used]
        # "At most image_size in plane": one factor for both axes keeps pixels as square as they were.
        spacing[:2] *= max(1.0, float((np.asarray(extents) / (spacing[:2] * task.image_size)).max()))
    for scan in scans:
        geometry = Geometry(
            raw_shape=scan.shape,
            affine=tuple(tuple(row) for row in scan.affine.tolist()),
            orientation=task.orientation,
            box=scan.box,
            spacing=scan.spacing,
            target_spacing=tuple(spacing.tolist()),
            size=task.image_size,
        )
        scan.geometry = replace(geometry, tiles=_tiles(task, scan, geometry))
    return scans


def _tiles(task: ClientTask, scan: Scan, geometry: Geometry) -> tuple[Corner, ...] | None:
    """Where the planes of a volume are cut: into a few tiles where it trains, into all of its view for a test."""
    if task.tiles is None or scan.view is None:
        return None
    seen = np.asarray(scan.view.any(axis=2, keepdims=True), np.uint8)
    view = resample(seen, (*geometry.resampled_shape[:2], 1), labels=True)[..., 0].T > 0
    if not view.any():
        raise FedFactoryError(
            f"{scan.case.image.path}: nothing of it is left on pixels of {task.tiles.spacing_mm:g} mm; correct the "
            "client's 'tiles' in the setup's file"
        )
    if scan.split == "test":
        return cover(view, task.image_size)
    return spread(view, task.image_size, task.tiles.count)


def _write_volume(task: ClientTask, scan: Scan, writer: StoreWriter, truth_folder: Path) -> np.ndarray:
    """Write one volume as z-scores and return its intensity histogram (zeros for a test volume)."""
    volume, geometry = read_case(scan.case, task.label_values), scan.geometry
    slices = z_scores(volume.image, geometry, scan.case.image.path)
    # NaN marks what padding adds: rescale() turns it into -1 after the clip limits are known.
    images = geometry.to_slices(slices.astype(np.float32), np.nan)
    label, organ = (
        None if mask is None else geometry.to_slices(geometry.to_planes(mask.astype(np.uint8), labels=True), 0)
        for mask in (volume.label, volume.roi)
    )
    # The truth of a test volume never enters the store: neither its labels nor which slices they reach.
    stored = None if scan.split == "test" else label
    rows = _rows(task, scan, _held(scan, organ, len(images)))
    # A tile may well show nothing of the organ; whoever labels a few of them takes some that do.
    shown = _held(scan, stored if organ is None or task.tiles else organ, len(images), some=not task.tiles).tolist()
    writer.add(rows, geometry, images, np.zeros(images.shape, np.uint8) if stored is None else stored, shown)
    if scan.split == "test" and volume.label is not None:
        _write_truth(volume, truth_folder, scan.case.name)
    counts = np.histogram(np.clip(slices, -20, 20), _HISTOGRAM_EDGES)[0]
    return counts * (scan.split != "test")


def z_scores(image: np.ndarray, geometry: Geometry, path: Path) -> np.ndarray:
    """Planes of a volume by the mean and deviation of its own foreground box (paper's line of work).

    Raises:
        FedFactoryError: there is no contrast in it; ``path`` is named.
    """
    planes = geometry.to_planes(image, labels=False)
    if planes.min() == planes.max():
        raise FedFactoryError(f"{path}: shows no contrast inside its foreground; remove the image")
    found: np.ndarray = (planes - planes.mean(dtype=np.float64)) / planes.std(dtype=np.float64)
    return found


def _held(scan: Scan, mask: np.ndarray | None, count: int, some: bool = True) -> np.ndarray:
    """Which slices of a volume a mask holds, (count,) boolean, at least one if ``some``; all of them without one."""
    held: Any = np.ones(count, bool) if mask is None else mask.reshape(count, -1).any(axis=1)
    if some and not held.any():
        raise FedFactoryError(
            f"{scan.case.image.path}: its mask vanishes on the client's spacing; check mask and voxel size"
        )
    return held


def _rows(task: ClientTask, scan: Scan, held: np.ndarray) -> list[SliceRow]:
    """Index rows of one volume; position bins count among the slices that are held."""
    rank = np.cumsum(held) - 1
    # Tiles lie beside each other: their order says nothing of a position.
    bins = rank * task.position_bins // int(held.sum()) if task.tiles is None else np.zeros(len(held), int)
    return [
        SliceRow(
            subject=scan.case.subject,
            case=scan.case.name,
            slice=number,
            position_bin=int(bins[number]) if held[number] else -1,
            split=scan.split,
            labelled=scan.case.label is not None,
            in_mt=False,
        )
        for number in range(len(held))
    ]


def _mark_few_shot(task: ClientTask, writer: StoreWriter) -> None:
    middles: dict[str, list[tuple[str, int]]] = {}
    rows = writer.rows
    training = [number for number, row in enumerate(rows) if row.split == "train" and row.labelled]
    if task.needs_labels and not training:
        raise FedFactoryError(f"{task.where}: the source needs labelled training volumes, there are none")
    if not task.few_shot:
        return
    _, labels = writer.arrays()
    for case in sorted({rows[number].case for number in training}):
        if shown := [number for number in training if rows[number].case == case and writer.organ[number]]:
            if task.tiles:
                # They lie in no order: the middle one by how much it shows.
                shown.sort(key=lambda number: np.count_nonzero(labels[number]))
            middle = rows[shown[len(shown) // 2]]
            middles.setdefault(middle.subject, []).append((case, middle.slice))
    chosen = set(choose_few_shot(middles, task.few_shot, task.setup, task.client, task.seed))
    rows[:] = [row._replace(in_mt=(row.case, row.slice) in chosen) for row in rows]


def _percentiles(histogram: np.ndarray, percentiles: tuple[float, float]) -> tuple[float, float]:
    """Lower and upper limit of the z-scores: edges of the first and the last bin between the percentiles."""
    cumulative = np.cumsum(histogram)
    low, high = (p / 100 * cumulative[-1] for p in percentiles)
    first = int(np.searchsorted(cumulative, low, side="right"))
    last = int(np.searchsorted(cumulative, high, side="left"))
    return float(_HISTOGRAM_EDGES[first]), float(_HISTOGRAM_EDGES[last + 1])


def _write_truth(volume: RawVolume, folder: Path, name: str) -> None:
    """Image and truth of a test case in the geometry of the raw image: what every Dice is computed against."""
    for kind, data in (("image", volume.image), ("truth", volume.label)):
        nibabel.save(nibabel.Nifti1Image(data, volume.affine), folder / f"{name}_{kind}.nii.gz")


def _write_preview(writer: StoreWriter, orientation: Orientation, path: Path) -> None:
    """Middle slices of the first training subjects, for the gallery."""
    images, labels = writer.arrays()
    subjects = sorted({row.subject for row in writer.rows if row.split == "train" and row.labelled})
    subjects = subjects or sorted({row.subject for row in writer.rows if row.split == "train"})
    chosen = []
    for subject in subjects[:_PREVIEW_SUBJECTS]:
        own = [i for i, row in enumerate(writer.rows) if row.subject == subject]
        shown = [i for i in own if writer.organ[i]] or own
        chosen.append(shown[len(shown) // 2])
    with path.open("wb") as file:
        pictures: dict[str, Any] = {
            name: np.stack([as_picture(array[number], orientation) for number in chosen])
            for name, array in (("images", images), ("labels", labels))
        }
        np.savez(file, **pictures)
