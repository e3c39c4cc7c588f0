"""A run of one's own from folders of images: a setup, a run of a laptop's size, and a picture to look at.

Nothing is asked that can be seen. What was decided stands in the files as comments, with its reason.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from fedfactory.config.sentences import NAME
from fedfactory.data.adapters import Found, survey_cases
from fedfactory.data.folders import matching, visible_files
from fedfactory.data.formats import ending_of, kind_of, stem_of
from fedfactory.data.formats.bitmap import is_coloured
from fedfactory.data.geometry import Geometry, Orientation, as_picture, foreground_box, orient, oriented_spacing
from fedfactory.data.raw import RawCase, RawVolume, read_case
from fedfactory.data.tables import column_names
from fedfactory.errors import FedFactoryError
from fedfactory.evaluation.dice import dice
from fedfactory.evaluation.figures import draw_grid, save
from fedfactory.evaluation.released_slices import Panel, grey_values
from fedfactory.storage.files import new_file

_ORIENTATION: Orientation = "RAS"

# Labels are few whole numbers; of so many files of a site voxels are looked at.
_MOST_VALUES, _LOOKED_AT = 16, 3
_SIZES = (64, 96, 128)
_SUBJECT = re.compile("sub-")
_LIST_THEM = "list images and labels in a table with the columns subject,image,label"
# Dice of labels that went to slices and back; below it finer slices are taken.
_KEPT = 0.9
# One to train, one to validate, one to test; fewer say nothing.
_FEWEST = 3
# Pictures are cut into tiles rather than made smaller by more than this.
_TILED = 2
_TILES = 9
_OF_LABELS = re.compile(r"label|mask(?!ed)|seg|(?<![a-z])gt(?![a-z])|truth|manual|annot", re.I)


@dataclass
class Site:
    """A folder, as it was found.

    Attributes:
        name: of the client.
        folder: where its files lie.
        options: of the generic adapter.
        found: what that finds.
        values: values in its label maps; empty without labels.
        remarks: what was assumed.
    """

    name: str
    folder: Path
    options: dict[str, Any]
    found: Found
    values: tuple[int, ...] = ()
    remarks: list[str] = field(default_factory=list)

    @property
    def labelled(self) -> list[RawCase]:
        """Cases with a label."""
        return [case for case in self.found.cases if case.label is not None]


def new_run(name: str, sites: Mapping[str, Path], source: str, project: Path) -> list[str]:
    """Look at folders, and write ``config/NAME.yaml``, its setup and its gallery.

    Args:
        name: of the run and its setup.
        sites: name of a site -> its folder.
        source: the site whose labels train; all others are targets.
        project: folder of the Snakefile.

    Returns:
        Lines for people: what was found, assumed and written.

    Raises:
        FedFactoryError: a name that is none, a folder in which nothing is found, labels that do not fit together, or
            files that are there.
    """
    _check_names(name, sites, source)
    files = [project / f"config/setups/{name}.yaml", project / f"config/{name}.yaml", project / f"config/{name}.png"]
    for file in files:
        if file.exists():
            raise FedFactoryError(f"{file} is there; choose another name, or remove it")
    _check_folders(sites)
    found = [_site(own, folder.resolve()) for own, folder in sites.items()]
    _check_shared(found)
    classes = _classes(found, source)
    slices = _slices(next(site for site in found if site.name == source))
    texts = _setup(name, found, source, classes, slices), _run(name, found, source, slices)
    for file, text in zip(files, texts, strict=False):
        with new_file(file) as path:
            path.write_text(text)
    with new_file(files[2]) as path:
        save(_gallery(found), path, ".png")
    said = [f"{site.name}: {len(site.found.cases)} images, {len(site.labelled)} labelled" for site in found]
    said += [f"{site.name}: {remark}" for site in found for remark in site.remarks]
    return [*said, *(f"wrote {file.relative_to(project)}" for file in files), f"next: look at config/{name}.png, then"
            f" snakemake --cores 2 --configfile config/{name}.yaml"]  # fmt: skip


def _check_names(name: str, sites: Mapping[str, Path], source: str) -> None:
    for own in (name, *sites):
        if not re.fullmatch(NAME, own):
            raise FedFactoryError(f"'{own}' is no valid name; take lower-case letters, digits and _, a letter first")
    if len(sites) < 2 or source not in sites:
        raise FedFactoryError(f"give at least two sites, and name one of them as the source; '{source}' is none")


def _check_folders(sites: Mapping[str, Path]) -> None:
    """A site that lies in another one's folder, or is it, would train and test on the same images."""
    for name, folder in sites.items():
        for other, place in sites.items():
            if name != other and folder.resolve().is_relative_to(place.resolve()):
                raise FedFactoryError(f"site {name}: {folder} lies in {place}, site {other}; give each its own")


def _site(name: str, folder: Path) -> Site:
    """The layout in which most labelled images are found."""
    if not folder.is_dir():
        raise FedFactoryError(f"site {name}: {folder} is no folder; correct the path")
    best: tuple[tuple[int, int, int], dict[str, Any], Found] | None = None
    files = [path for path in visible_files(folder) if ending_of(path.name)]
    # Pictures do not say how large their pixels are.
    pixels = {"pixel_mm": 1.0} if any(kind_of(path.name) == "bitmap" for path in files) else {}
    for layout in _layouts(folder, files):
        options = {key: value for key, value in layout.items() if value} | pixels
        try:
            found = survey_cases("generic", folder, options, f"site {name}")
        except FedFactoryError:
            continue
        worth = (sum(case.label is not None for case in found.cases), -len(found.problems), len(found.cases))
        if found.cases and (best is None or worth > best[0]):
            best = worth, options, found
    if best is None:
        raise FedFactoryError(
            f"site {name}: no image was found in {folder}; docs/add-a-dataset.md says what is read; or {_LIST_THEM}"
        )
    site = Site(name, folder, best[1], best[2])
    if site.found.problems:
        raise FedFactoryError(site.found.problems[0])
    _check_unread(site, files)
    if "pixel_mm" in site.options:
        site.remarks.append("pictures do not say how large a pixel is: 1 mm is nominal (option pixel_mm)")
        looked_at = [path for case in site.found.cases[:_LOOKED_AT] for path in case.image.paths]
        if any(is_coloured(path) for path in looked_at if kind_of(path.name) == "bitmap"):
            site.options["channel"] = "grey"
            site.remarks.append("of colours the luminance is read (option channel: grey, red, green or blue)")
            site.found = survey_cases("generic", folder, site.options, f"site {name}")
    site.values = _values(site)
    return site


def _check_shared(sites: Sequence[Site]) -> None:
    """Links may lead to another site's images."""
    first: dict[Path, str] = {}
    for site in sites:
        for path in (path for case in site.found.cases for path in case.image.paths):
            if (other := first.setdefault(path.resolve(), site.name)) != site.name:
                raise FedFactoryError(f"site {site.name}: {path} is an image of site {other} as well; remove one")


def _check_unread(site: Site, files: Sequence[Path]) -> None:
    """Name the files that are not read; refuse labels among the images, or labels that nothing says are the truth."""
    of_labels = [path for path in files if _OF_LABELS.search(path.relative_to(site.folder).as_posix())]
    images = {path for case in site.found.cases for path in case.image.paths}
    if taken := sorted(images & set(of_labels)):
        raise FedFactoryError(
            f"site {site.name}: {taken[0]} and {len(taken) - 1} more look like label maps, and no layout that is known "
            f"pairs them with images; {_LIST_THEM}"
        )
    left = sorted(set(files) - {*site.found.files, *images})
    if (rivals := sorted(set(left) & set(of_labels))) and "table" not in site.options:
        used = next((f" as well as {mask.path}" for case in site.labelled for mask in case.masks), " of no image")
        raise FedFactoryError(
            f"site {site.name}: {rivals[0]} looks like a label map{used}; {_LIST_THEM}, or put one away"
        )
    if not site.labelled:
        site.remarks.append("no labels were found: every file is taken for an image that trains the factory")
    if left:
        site.remarks.append(f"{len(left)} files are not read, as {left[0].relative_to(site.folder)}")


def _layouts(folder: Path, files: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Ways to read a folder by the generic adapter, likely ones first."""
    tables = [table for table in matching(folder, "*.csv") if {"subject", "image"} <= column_names(table)]
    if tables:
        # Whoever wrote it down wants it so.
        yield from ({"table": table.name} for table in tables)
        return
    series = sorted({path.parent for path in files if kind_of(path.name) == "dicom" and path.parent != folder})
    for items in (files, series):
        places = Counter(path.parent.relative_to(folder) for path in items)
        for images in places:
            for labels in places:
                if images != labels and _OF_LABELS.search(labels.name) and not _OF_LABELS.search(images.name):
                    suffix = _suffix(_stems(items, folder / images), _stems(items, folder / labels))
                    yield {"images": images.as_posix(), "labels": labels.as_posix(), "label_suffix": suffix}
    stems = _stems(files, None)
    pattern = "**/*" if any(path.parent != folder for path in files) else "*"
    if suffix := _suffix([s for s in stems if not _OF_LABELS.search(s)], [s for s in stems if _OF_LABELS.search(s)]):
        yield {"images": pattern, "labels": ".", "label_suffix": suffix}
    names = Counter(stems)
    for label in (own for own in names if _OF_LABELS.search(own) and names[own] > 1):
        for image in (own for own in names if not _OF_LABELS.search(own) and names[own] > 1):
            yield {"images": f"**/{escape(image)}.*", "labels": ".", "image_suffix": image, "label_suffix": label}
    yield from _bids(folder, files)
    if files:
        yield {"images": pattern}
    yield {"images": "*"}
    # Folders of DICOM files whose names have no ending.
    yield {"images": "**/*"}


def _bids(folder: Path, files: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """Images in folders of subjects, labels in the same folders below another one."""
    inside = [path.relative_to(folder) for path in files]
    images = {stem_of(path.name).rpartition("_")[2] for path in inside if _SUBJECT.match(path.parts[0])}
    below = {
        (Path(*path.parts[:depth]).as_posix(), stem_of(path.name).rpartition("_")[2])
        for path in inside
        for depth, part in enumerate(path.parts[:-1])
        if depth and _SUBJECT.match(part)
    }
    for labels, label in sorted(below):
        for image in sorted(images):
            suffixes = {"image_suffix": f"_{image}", "label_suffix": f"_{label}"}
            yield {"images": f"sub-*/**/*_{escape(image)}.*", "labels": labels, **suffixes}


def _stems(files: Sequence[Path], folder: Path | None) -> list[str]:
    return [stem_of(path.name) for path in files if folder in (None, path.parent)]


def _suffix(images: Sequence[str], labels: Sequence[str]) -> str:
    """What most labels have behind the name of an image; empty if they have the name itself."""
    known = {image.removesuffix("_0000") for image in images}
    behind = Counter(
        label[len(start) :] for label in labels for end in range(1, len(label) + 1) if (start := label[:end]) in known
    )
    return behind.most_common(1)[0][0] if behind else ""


def _values(site: Site) -> tuple[int, ...]:
    """Values of a site's label maps, from a few of them."""
    found: set[int] = set()
    for case in site.labelled[:_LOOKED_AT]:
        if case.label is None:
            continue
        values = np.unique(np.rint(case.label.read())).tolist()
        if len(values) > _MOST_VALUES or values[0] < 0:
            raise FedFactoryError(
                f"site {site.name}: {case.label.path} holds {len(values)} values from {values[0]:g} to "
                f"{values[-1]:g}, which are no labels; name images and labels in a table (docs/add-a-dataset.md)"
            )
        found |= {int(value) for value in values if value}
    return tuple(sorted(found))


def _classes(sites: Sequence[Site], source: str) -> tuple[str, ...]:
    """Names of the classes: as many as labels have values, at every site with labels."""
    labelled = [site for site in sites if site.values]
    first = next((site for site in labelled if site.name == source), None)
    if first is None:
        raise FedFactoryError(f"site {source}: has no labels, and is to be the source; name another one")
    for site in labelled:
        if len(site.values) != len(first.values):
            raise FedFactoryError(
                f"site {site.name}: its labels have the values {', '.join(map(str, site.values))}, those of {source} "
                f"{', '.join(map(str, first.values))}; bring them to the same classes"
            )
        if (few := len(site.labelled)) < _FEWEST:
            raise FedFactoryError(
                f"site {site.name}: has {few} labelled images; {_FEWEST} are needed to train, validate and test"
            )
    if len(labelled) < 2:
        raise FedFactoryError("no site but the source has labels, and there is nothing to test on; label some images")
    return (
        ("object",) if len(first.values) == 1 else tuple(f"class_{number + 1}" for number in range(len(first.values)))
    )


@dataclass(frozen=True)
class Slices:
    """How images become slices, and why.

    Attributes:
        size: edge in pixels.
        tiles: entry of every client; None where a plane is a slice.
        tolerance_mm: of surfaces: two pixels.
        reason: for people.
    """

    size: int
    tiles: dict[str, float] | None
    tolerance_mm: float
    reason: str


def _slices(source: Site) -> Slices:
    """The coarsest slices on which the source's labels are kept; a target's have no part in any choice."""
    samples = [_read(source, case) for case in source.labelled[:_LOOKED_AT]]
    flat = all(volume.image.shape[2] == 1 for volume in samples)
    edge = max(max(volume.image.shape[:2]) for volume in samples)
    if flat and edge > _TILED * _SIZES[0]:
        finest = float(np.median([min(oriented_spacing(v.affine, _ORIENTATION)[:2]) for v in samples]))
        for factor in (4.0, 2.0, 1.0):
            kept = float(np.mean([_kept(volume, factor * finest) for volume in samples]))
            if kept >= _KEPT or factor == 1:
                break
        spacing = round(factor * finest, 6)
        reason = (
            f"pictures of up to {edge} pixels are cut into tiles of {_SIZES[0]}, with pixels of {spacing:g} mm: labels "
            f"come back from there with a Dice of {100 * kept:.0f}"
        )
        return Slices(_SIZES[0], {"spacing_mm": spacing, "count": _TILES}, 2 * spacing, reason)
    for size in _SIZES:
        spacings = [_spacing(volume, size) for volume in samples]
        kept = float(np.mean([_kept(volume, spacing) for volume, spacing in zip(samples, spacings, strict=True)]))
        if kept >= _KEPT:
            break
    reason = f"at {size} pixels labels come back from the slices with a Dice of {100 * kept:.0f}"
    if kept < _KEPT:
        reason += "; finer slices would keep more, and take longer"
    return Slices(size, None, round(2 * float(np.median(spacings)), 4), reason)


def _read(site: Site, case: RawCase) -> RawVolume:
    return read_case(case, {value: number for number, value in enumerate(site.values, start=1)})


def _spacing(volume: RawVolume, size: int) -> float:
    """Pixel in mm at which the foreground of a volume fits into a slice; its own where it fits anyway."""
    box = foreground_box(orient(volume.image, volume.affine, _ORIENTATION))
    own = oriented_spacing(volume.affine, _ORIENTATION)[:2]
    extent = max((stop - start) * step for (start, stop), step in zip(box, own, strict=False))
    return max(extent / size, *own)


def _kept(volume: RawVolume, spacing: float) -> float:
    """Dice of a label with itself, after it has been on pixels of a size."""
    shape: Any = volume.image.shape
    own = oriented_spacing(volume.affine, _ORIENTATION)
    oriented = orient(volume.image, volume.affine, _ORIENTATION).shape
    geometry = Geometry(
        raw_shape=shape,
        affine=tuple(tuple(row) for row in volume.affine.tolist()),
        orientation=_ORIENTATION,
        box=tuple((0, length) for length in oriented),  # type: ignore[arg-type]
        spacing=own,
        target_spacing=(max(spacing, own[0]), max(spacing, own[1]), own[2]),
        size=2 * max(oriented),
    )
    label: Any = volume.label
    back = geometry.to_raw(geometry.to_slices(geometry.to_planes(label, labels=True), 0))
    return dice(back > 0, label > 0)


def _setup(name: str, sites: Sequence[Site], source: str, classes: Sequence[str], slices: Slices) -> str:
    """Text of the setup's file."""
    root = Path(os.path.commonpath([site.folder.parent for site in sites]))
    target = next(site.name for site in sites if site.name != source and site.values)
    lines = [
        f"# Written by `fedfactory new-run {name}`. Names of classes and labels of columns are yours to change.",
        *(f"# {site.name}: {remark}" for site in sites for remark in site.remarks),
    ]
    clients: dict[str, Any] = {}
    for site in sites:
        values = site.values or next(own.values for own in sites if own.values)
        clients[site.name] = {
            "label": site.name,
            "federated": True,
            "raw": site.folder.relative_to(root).as_posix(),
            "adapter": "generic",
            "options": site.options,
            "labels": dict(zip(classes, values, strict=True)),
        }
        if slices.tiles:
            clients[site.name]["tiles"] = dict(slices.tiles)
        if not site.values:
            clients[site.name]["scored"] = False
    entry = {
        **{"name": name, "label": name.upper(), "title": f"Own data: {name}", "classes": list(classes)},
        **{"source": source, "figure_target": target, "orientation": _ORIENTATION, "clients": clients},
    }
    return "\n".join(lines) + "\n" + yaml.safe_dump(entry, sort_keys=False, allow_unicode=True)


def _run(name: str, sites: Sequence[Site], source: str, slices: Slices) -> str:
    """Text of the run's file."""
    root = os.path.commonpath([site.folder.parent for site in sites])
    counts = {site.name: len({case.subject for case in site.labelled}) for site in sites if site.values}
    fewest = min(counts.values())
    # At least one subject of the smallest site each.
    validation, test = (max(share, round(1 / fewest + 0.005, 2)) for share in (0.15, 0.3))
    training = fewest - int(validation * fewest) - int(test * fewest)
    values: dict[str, Any] = {
        "base": "config/demo.yaml",
        "run": name,
        "data": {"source": "files", "root": root},
        "split": {"validation": validation, "test": test},
        "few_shot": {"slices": min(3, training)},
        "nsd_tolerance_mm": {name: slices.tolerance_mm},
        "preprocessing": {"image_size": slices.size},
        "setups": [f"config/setups/{name}.yaml"],
        # Whoever owns the images decides whether slices are shown.
        "slices": False,
    }
    remarks = []
    if slices.tiles:
        remarks = ["# Tiles: their pixels are as large at every site, and nothing on them has a direction."]
        values["factory"] = {"network": {"client_zoom": False}}
        values["methods"] = {
            row: {"parameters": {"target": {"symmetries": "square"}}} for row in ("ours", "ours_paired")
        }
    lines = [
        f"# Written by `fedfactory new-run {name}`: the demo's rows and sizes, for two cores, on your own images.",
        f"# Slices: {slices.reason}.",
        f"# Split: the smallest site has {fewest} labelled subjects.",
        *remarks,
    ]
    return "\n".join(lines) + "\n" + yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def _gallery(sites: Sequence[Site]) -> Any:
    """Middle slices of the first images of every site, with their labels."""
    rows = []
    for site in sites:
        cases = (site.labelled or site.found.cases)[:_LOOKED_AT]
        row: list[Panel | None] = [_panel(_read(site, case)) for case in cases]
        rows.append(row + [None] * (_LOOKED_AT - len(row)))
    return draw_grid(rows, [site.name for site in sites], [])


def _panel(volume: RawVolume) -> Panel:
    image = orient(volume.image, volume.affine, _ORIENTATION)
    label = np.zeros(image.shape, np.uint8) if volume.label is None else volume.label
    label = orient(label, volume.affine, _ORIENTATION) if volume.label is not None else label
    shown = np.flatnonzero(label.any(axis=(0, 1)))
    middle = int(shown[len(shown) // 2]) if len(shown) else image.shape[2] // 2
    step = oriented_spacing(volume.affine, _ORIENTATION)
    planes = (as_picture(array[:, :, middle].T, _ORIENTATION) for array in (image, label))
    picture, truth = planes
    return Panel(grey_values(picture), truth, aspect=step[1] / step[0])
