"""A cell's predictions beside the images that they were made for: in their formats, with the values of their labels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fedfactory.config.run import Config
from fedfactory.data.adapters import find_cases
from fedfactory.data.formats import ImageFile, stem_of
from fedfactory.data.formats.masks import write_mask
from fedfactory.data.raw import Source, Stack
from fedfactory.errors import FedFactoryError
from fedfactory.storage.files import new_folder


def write_masks(config: Config, cell: Path, out: Path) -> list[Path]:
    """Write the masks of a cell's test cases.

    Args:
        config: the run of the cell.
        cell: ``results/<run>/<setup>/<target>/<method>/seed<n>``, with its predictions.
        out: folder of the masks; must not be there.

    Returns:
        The files.

    Raises:
        FedFactoryError: no such cell, raw data that are gone, or a folder that is there.
    """
    predictions = cell / "predictions"
    if not predictions.is_dir() or len(cell.parts) < 4:
        raise FedFactoryError(f"{predictions} is missing; give the folder of a finished cell")
    setup, client = cell.parts[-4:-2]
    if setup not in config.setups or client not in config.setups[setup].clients:
        raise FedFactoryError(
            f"{cell}: {setup}/{client} is no client of {config.file}; give the cell's own configuration"
        )
    if out.exists():
        raise FedFactoryError(f"{out} is there; give a new folder, or remove it")
    entry = config.setups[setup].clients[client]
    cases = find_cases(
        entry.adapter, config.raw_folder(setup, client), entry.options, f"client {client} of setup {setup}"
    )
    # Of several raw values of a class the first one.
    values = {stored: raw for raw, stored in reversed(list(entry.label_values.items()))}
    classes = {values[number]: name for number, name in enumerate(config.setups[setup].classes, start=1)}
    written = []
    predicted = {stem_of(file.name) for file in predictions.glob("*.nii.gz")}
    if gone := sorted(predicted - {case.name for case in cases}):
        raise FedFactoryError(
            f"{predictions}: {len(gone)} predictions have no raw image any more, as {gone[0]}; put their images back"
        )
    with new_folder(out) as folder:
        for case in cases:
            file = predictions / f"{case.name}.nii.gz"
            if case.name not in predicted:
                continue
            labels = ImageFile(file).read()
            if labels.shape != case.image.header().shape:
                raise FedFactoryError(
                    f"{file}: has the shape {labels.shape}, {case.image.path} has {case.image.header().shape}; the raw "
                    "data are others than the cell was made from"
                )
            mask = np.zeros(labels.shape, np.uint8 if max(classes) < 256 else np.uint16)
            for stored, raw in values.items():
                mask[labels == stored] = raw
            for name, image, part in _parts(case.name, case.image, mask):
                written.append(out / write_mask(part, image, folder, name, classes).name)
    return written


def _parts(name: str, image: Source, mask: np.ndarray) -> Iterator[tuple[str, ImageFile, np.ndarray]]:
    """The files of an image, and the part of the mask that belongs to each."""
    if isinstance(image, Stack):
        for number, part in enumerate(image.parts):
            yield from _parts(f"{name}_{number}", part, mask[..., number : number + 1])
    elif isinstance(image, ImageFile):
        yield name, image, mask
