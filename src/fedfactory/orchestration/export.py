"""A cell's trained model as a MONAI bundle, and what segments an image with it.

::

    configs/metadata.json    what it is, in the form of MONAI's bundles
    configs/inference.json   `python -m monai.bundle run --config_file configs/inference.json ...`
    models/cell.json         how the cell predicts: its method's segmenter, and how images become slices
    models/model, models/other<n>, models/choice.csv
    models/store             classes and clip limits of the target; no image, no label

The bundle calls the package fedfactory, which has to be installed where it runs.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np

from fedfactory import __version__
from fedfactory.data.formats import ImageFile
from fedfactory.data.formats.masks import write_mask
from fedfactory.data.geometry import Geometry, Orientation, foreground_box, orient, oriented_spacing
from fedfactory.data.preprocessing import z_scores
from fedfactory.data.raw import RawCase, read_case
from fedfactory.data.store import ClientView, SliceRow, rescaled
from fedfactory.errors import FedFactoryError
from fedfactory.evaluation.choice import Choice
from fedfactory.evaluation.finished_run import argument_of, arguments_of
from fedfactory.methods.contract import Segmenter, Trained
from fedfactory.orchestration.declared import load
from fedfactory.orchestration.labels import NONE
from fedfactory.provenance.record import NAME, read_record
from fedfactory.storage.files import new_folder, parse_json
from fedfactory.training.devices import resolve

_SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
_CELL, _STORE, _MODEL = "cell.json", "store", "model"


@dataclass(frozen=True)
class Exported:
    """What ``cell.json`` says.

    Attributes:
        cell: setup/target/method.
        segmenter: function of the method's declaration, as module:name.
        parameters: of the prediction.
        others: how many more models it reads.
        chosen: whether validation volumes chose a state.
        orientation: of the setup.
        size: edge of the slices.
        classes: 1, 2, ... in the masks.
    """

    cell: str
    segmenter: str
    parameters: dict[str, Any]
    others: int
    chosen: bool
    orientation: Orientation
    size: int
    classes: tuple[str, ...]


def write_bundle(cell: Path, out: Path) -> Exported:
    """Write a cell's bundle.

    Args:
        cell: ``results/<run>/<setup>/<target>/<method>/seed<n>``, predicted; called in the project's folder.
        out: folder of the bundle; must not be there.

    Raises:
        FedFactoryError: no such cell, a folder that is there, a row that reads M_t or cuts tiles when it predicts.
    """
    made = cell / "predictions" / NAME
    if not made.is_file():
        raise FedFactoryError(f"{cell}: has no predictions with a record; make the cell, and name its folder")
    if out.exists():
        raise FedFactoryError(f"{out} is there; give a new folder, or remove it")
    record = read_record(made)
    model, data = (Path(argument_of(record, name)) for name in ("--model", "--data"))
    others, choice = ([Path(file) for file in arguments_of(record, name)] for name in ("--others", "--choice"))
    view = ClientView(data)
    geometry = view.geometry(view.rows[0].case)
    if geometry.tiles is not None:
        raise FedFactoryError(f"{cell}: its images are cut into tiles, which depends on a mask; it is not exported")
    about = Exported(
        cell=argument_of(record, "--cell"),
        segmenter=argument_of(record, "--segmenter"),
        parameters=json.loads(argument_of(record, "--parameters")),
        others=len(others),
        chosen=bool(choice),
        orientation=geometry.orientation,
        size=geometry.size,
        classes=view.classes,
    )
    with new_folder(out) as folder:
        models = folder / "models"
        models.mkdir()
        _copy(model, models / _MODEL)
        for number, other in enumerate(others):
            _copy(other, models / f"other{number}")
        for file in choice:
            shutil.copyfile(file, models / "choice.csv")
        (models / _CELL).write_text(json.dumps(asdict(about), indent=1) + "\n")
        _write_store(models / _STORE, view)
        (folder / "configs").mkdir()
        for name, content in (("metadata", _metadata(about)), ("inference", _inference())):
            (folder / "configs" / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
        try:
            _segmenter(models, about, "cpu")(np.full((1, about.size, about.size), -1.0, np.float32))
        except FedFactoryError as error:
            raise FedFactoryError(f"{cell}: predicts by more than its models ({error}); it is not exported") from None
    return about


def segment_file(bundle: str, image: str, output: str, device: str = "auto") -> str:
    """Segment an image with a bundle; what the bundle's own configuration calls.

    Args:
        bundle: its folder.
        image: NIfTI, NRRD, MetaImage or PNG file, or a folder with one DICOM series.
        output: file of the mask, ``.nii`` or ``.nii.gz``; or a folder, for a mask in the image's own format (DICOM gets
            a DICOM segmentation).
        device: ``cpu``, ``cuda`` or ``auto``.

    Returns:
        The file.

    Raises:
        FedFactoryError: no bundle, or an image that cannot be read.
    """
    models, source = Path(bundle) / "models", ImageFile(Path(image))
    if not (models / _CELL).is_file():
        raise FedFactoryError(f"{bundle}: is no bundle of fedfactory; make one with: fedfactory export CELL --out DIR")
    about = Exported(**parse_json((models / _CELL).read_text()))
    labels, affine = _segmented(models, about, source, resolve(device))
    if output.endswith((".nii", ".nii.gz")):
        nibabel.save(nibabel.Nifti1Image(labels, affine), output)
        return output
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    classes = dict(enumerate(about.classes, start=1))
    return str(write_mask(labels, source, folder, source.path.name.partition(".")[0], classes))


def _segmented(models: Path, about: Exported, source: ImageFile, device: str) -> tuple[np.ndarray, np.ndarray]:
    """Labels (x, y, z) uint8 on the voxels of an image, and its affine; slices are made as those of a test volume."""
    volume = read_case(RawCase(subject="image", name="image", image=source), {})
    view = ClientView(models / _STORE)
    geometry = Geometry(
        raw_shape=volume.image.shape,
        affine=tuple(tuple(row) for row in volume.affine.tolist()),
        orientation=about.orientation,
        box=foreground_box(orient(volume.image, volume.affine, about.orientation)),
        spacing=oriented_spacing(volume.affine, about.orientation),
        target_spacing=tuple(view.statistics["target_spacing_mm"]),
        size=about.size,
    )
    planes = z_scores(volume.image, geometry, source.path).astype(np.float32)
    slices = rescaled(geometry.to_slices(planes, np.nan), *view.statistics["clip_z"]).astype(np.float32)
    return geometry.to_raw(_segmenter(models, about, device)(slices)), np.asarray(geometry.affine)


def _segmenter(models: Path, about: Exported, device: str) -> Segmenter:
    trained = Trained(
        models / _MODEL,
        tuple(models / f"other{number}" for number in range(about.others)),
        ClientView(models / _STORE, NONE),
        about.parameters,
        about.orientation,
        device,
        Choice.read(models / "choice.csv") if about.chosen else None,
    )
    segment: Segmenter = load(about.segmenter)(trained)
    return segment


def _copy(source: Path, place: Path) -> None:
    """A model without the records that its clients keep."""
    if source.is_file():
        shutil.copyfile(source, place)
    else:
        shutil.copytree(source, place, ignore=shutil.ignore_patterns(".*", "sites", "snapshots"))


def _write_store(folder: Path, view: ClientView) -> None:
    folder.mkdir()
    content = {"classes": list(view.classes), "statistics": dict(view.statistics), "geometry": {}}
    (folder / "store.json").write_text(json.dumps(content, indent=1) + "\n")
    (folder / "index.csv").write_text(",".join(SliceRow._fields) + "\n")


def _inference() -> dict[str, Any]:
    given = {name: f"@{name}" for name in ("image", "output", "device")}
    return {
        "bundle_root": ".",
        "image": "image.nii.gz",
        "output": "mask.nii.gz",
        "device": "auto",
        "mask": {"_target_": f"{__name__}.{segment_file.__name__}", "bundle": "@bundle_root", **given},
        "run": ["$print(@mask)"],
    }


def _metadata(about: Exported) -> dict[str, Any]:
    import monai
    import torch

    channels = {str(number): name for number, name in enumerate(("background", *about.classes))}
    shape = [about.size, about.size]
    return {
        "schema": _SCHEMA,
        "version": __version__,
        "changelog": {__version__: f"exported from the cell {about.cell}"},
        "monai_version": monai.__version__,
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": np.__version__,
        "required_packages_version": {"fedfactory": __version__},
        "name": f"FedFactory, {about.cell}",
        "task": f"Segmentation of {', '.join(about.classes)}",
        "description": "A model of the benchmark FedFactory, adapted to one site or trained for it. It was made to "
        "compare methods and is not for clinical use.",
        "authors": "The FedFactory authors",
        "copyright": "The FedFactory authors; Apache-2.0",
        "intended_use": "Research: comparison of methods of federated segmentation.",
        "network_data_format": {
            "inputs": {
                "image": {
                    **{"type": "image", "format": "magnitude", "modality": "n/a", "num_channels": 1},
                    **{"spatial_shape": shape, "dtype": "float32", "value_range": [-1, 1], "is_patch_data": False},
                    "channel_def": {"0": "image"},
                }
            },
            "outputs": {
                "pred": {
                    **{"type": "image", "format": "segmentation", "num_channels": 1, "spatial_shape": shape},
                    **{"dtype": "uint8", "value_range": [0, len(about.classes)], "is_patch_data": False},
                    "channel_def": channels,
                }
            },
        },
    }
