"""What a data root holds, seen before any job runs: counts, splits, headers, and what is missing."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedfactory.config.run import Config
from fedfactory.data.adapters import same_images, survey_cases
from fedfactory.data.client_tasks import client_task
from fedfactory.data.folders import twins, visible_files
from fedfactory.data.formats import ending_of
from fedfactory.data.preprocessing import ClientTask, changed_labels, look_at, splits_of
from fedfactory.data.raw import RawCase, check_headers
from fedfactory.data.releases import Expected, ReleaseTable
from fedfactory.data.splits import SPLITS
from fedfactory.errors import FedFactoryError
from fedfactory.orchestration.progress import Progress


@dataclass
class ClientSurvey:
    """What was found of one client.

    Attributes:
        label: the client, as in the table.
        folder: its raw folder.
        expected: what a complete copy holds; None for a client of one's own.
        subjects: subjects found.
        volumes: volumes found.
        labelled: those with a label map.
        split: volumes for training, validation and test, as the workflow will split them.
        shapes: smallest and largest matrix (x, y, z), each axis for itself.
        spacings: smallest and largest voxel size in mm, likewise.
        problems: sentences; with any of them the client's jobs would fail.
        remarks: sentences on what no job refuses, and a person should look at.
        files: that are read.
        images: those of them that are images.
        unread: files of its folder that no client of the setup reads; with the last of the folder's clients.
    """

    label: str
    folder: Path
    expected: Expected | None = None
    subjects: int = 0
    volumes: int = 0
    labelled: int = 0
    split: tuple[int, ...] = (0, 0, 0)
    shapes: tuple[tuple[int, ...], ...] = ()
    spacings: tuple[tuple[float, ...], ...] = ()
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    files: set[Path] = field(default_factory=set)
    images: set[Path] = field(default_factory=set)
    unread: list[Path] = field(default_factory=list)


def survey(config: Config, table: ReleaseTable, setup: str, *, voxels: bool) -> list[ClientSurvey]:
    """Look at the raw data of every client of a setup.

    Args:
        config: the run, whose ``data.root`` is looked at.
        table: what complete releases hold.
        setup: name of the setup.
        voxels: whether to read every voxel with all checks of the preprocessing, which takes minutes, or
            headers only.
    """
    surveys = [
        _survey_client(config, table.clients.get(setup, {}).get(client), setup, client, voxels)
        for client in config.setups[setup].clients
    ]
    owners = {path: found for found in surveys for path in sorted(found.images)}
    for path, other in twins(owners):
        if owners[path] is not owners[other]:
            owners[path].remarks.append(f"{path} has the same bytes as {other}, of {owners[other].label}; remove one")
    # Several clients may lie in one release.
    for folder in dict.fromkeys(found.folder for found in surveys):
        own = [found for found in surveys if found.folder == folder]
        if any(found.files for found in own):
            read = set().union(*(found.files for found in own))
            own[-1].unread = [path for path in visible_files(folder) if path not in read]
    return surveys


def changed_files(folder: Path, checksums: Mapping[str, str]) -> list[str]:
    """Sentences for the files of a release that are missing, or whose SHA-256 is another than the recorded one.

    Args:
        folder: the release's folder.
        checksums: SHA-256 by path below it.
    """
    missing = [name for name in checksums if not (folder / name).is_file()]
    found = []
    if missing:
        found.append(
            f"{folder}: {len(missing)} of {len(checksums)} files that have a checksum are missing, as {missing[0]}; "
            "copy them again"
        )
    for name in checksums.keys() - missing:
        with (folder / name).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != checksums[name]:
            found.append(f"{folder / name}: its SHA-256 is {digest}, not {checksums[name]}; copy the file again")
    return sorted(found)


def _survey_client(config: Config, expected: Expected | None, setup: str, client: str, voxels: bool) -> ClientSurvey:
    entry = config.setups[setup].clients[client]
    task = ClientTask.from_json(client_task(config, setup, client))
    found = ClientSurvey(entry.label, config.raw_folder(setup, client), expected)
    try:
        listed = survey_cases(entry.adapter, found.folder, entry.options, task.where, task.largest)
        cases, found.files = listed.cases, listed.files
        found.images = {path for case in cases for path in case.image.paths}
        found.problems += listed.problems
        found.remarks += same_images(cases)
        found.subjects = len({case.subject for case in cases})
        found.volumes = len(cases)
        found.labelled = sum(case.label is not None for case in cases)
        splits = splits_of(task, cases)
    except FedFactoryError as error:
        found.problems.append(str(error))
        return found
    counts = Counter(splits[case.subject] for case in cases)
    found.split = tuple(counts[name] for name in SPLITS)
    found.problems += _too_few(task, cases, splits)
    _look_inside(found, task, cases, splits if voxels else None)
    return found


def _too_few(task: ClientTask, cases: Sequence[RawCase], splits: dict[str, str]) -> list[str]:
    """M_t takes labelled training volumes of different subjects, the source some of them and for validation."""
    labelled = {case.subject for case in cases if case.label is not None}
    count = Counter(splits[subject] for subject in labelled)
    wanted, found = max(task.few_shot, int(task.needs_labels)), []
    if count["train"] < wanted:
        found.append(
            f"{task.where}: {wanted} labelled training subjects are needed, there are {count['train']}; label more"
        )
    if task.needs_labels and not count["validation"]:
        found.append(
            f"{task.where}: the source has no labelled validation volume, by which nnU-Net and 'Ours' choose; raise "
            "'split.validation', or label more"
        )
    return found


def _look_inside(
    found: ClientSurvey, task: ClientTask, cases: Sequence[RawCase], splits: dict[str, str] | None
) -> None:
    """Read headers, or with splits all voxels as the job does; one sentence for every file that cannot be used."""
    scans = []
    shapes: list[tuple[int, ...]] = []
    spacings: list[tuple[float, ...]] = []
    progress = Progress(f"check {task.setup}/{task.client}")
    for number, case in enumerate(cases, start=1):
        try:
            header = check_headers(case)
            if splits is not None:
                scans.append(look_at(task, case, splits[case.subject]))
        except FedFactoryError as error:
            found.problems.append(str(error))
            continue
        shapes.append(header.shape)
        spacings.append(tuple(round(size, 3) for size in header.spacing))
        progress.update(number, len(cases), case.name)
    if scans and len(scans) == len(cases):
        found.remarks += changed_labels(task, scans)
    if shapes:
        found.shapes, found.spacings = _range(shapes), _range(spacings)


def _range(values: Sequence[tuple[Any, ...]]) -> tuple[tuple[Any, ...], ...]:
    axes = list(zip(*values, strict=True))
    return tuple(map(min, axes)), tuple(map(max, axes))


_HEAD = ("client", "subjects", "volumes", "labelled", "train/validation/test", "in the paper", "matrix", "voxel in mm")


def report(title: str, surveys: Sequence[ClientSurvey]) -> str:
    """What was found beside what a complete copy holds, as plain text for a terminal."""
    rows = [_HEAD, *(_row(found) for found in surveys)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = [title, *("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in rows)]
    problems = [problem for found in surveys for problem in found.problems]
    if problems:
        lines += ["", f"{len(problems)} problems; the jobs of these clients would fail:", *problems]
    remarks = [remark for found in surveys for remark in found.remarks]
    if remarks:
        lines += ["", f"{len(remarks)} remarks:", *remarks]
    lines += [line for found in surveys for line in _unread(found)]
    return "\n".join(line.rstrip() for line in lines)


def _unread(found: ClientSurvey) -> list[str]:
    """Files that nobody reads, counted by their endings, with the first of each."""
    if not found.unread:
        return []
    endings: dict[str, list[Path]] = defaultdict(list)
    for path in found.unread:
        endings[ending_of(path.name) or path.suffix or "no ending"].append(path)
    lines = [f"{len(own)} x {name}, the first {own[0]}" for name, own in sorted(endings.items())]
    return ["", f"{len(found.unread)} files below {found.folder} are not read:", *lines]


def _row(found: ClientSurvey) -> tuple[str, ...]:
    wanted = found.expected
    numbers = (found.subjects, found.volumes, found.labelled)
    of = (wanted.subjects, wanted.volumes, wanted.labelled) if wanted else (None,) * 3
    counts = (str(number) if full is None else f"{number} of {full}" for number, full in zip(numbers, of, strict=True))
    paper = ""
    if wanted and wanted.split:
        paper = "/".join(map(str, wanted.split)) + (" (stated)" if wanted.stated else "")
    matrix, voxel = (
        " to ".join(dict.fromkeys("x".join(f"{value:g}" for value in item) for item in items))
        for items in (found.shapes, found.spacings)
    )
    return (found.label, *counts, "/".join(map(str, found.split)), paper, matrix, voxel)
