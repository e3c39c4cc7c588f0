"""From volumes to what nnU-Net trains on: raw dataset, fingerprint, plans, preprocessed cases, split.

The physical spacing of the scans has been dealt with before any method of the benchmark sees them, so nnU-Net is shown
the pixel grid: unit spacing, no resampling, one 2D configuration.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedfactory.errors import FedFactoryError
from fedfactory.methods.nnunet.environment import deterministic, nnunet_environment
from fedfactory.storage.files import new_folder, parse_json, scratch_folder

if TYPE_CHECKING:
    from fedfactory.data.store import Volume

# A fixed name, because it is written into the plans, which are the same bytes wherever they are made.
DATASET = "Dataset001_client"
PLANS = "nnUNetPlans"
CONFIGURATION = "2d"
# The same on disk and in the model folder; nnU-Net wants the ending in dataset.json.
_ENDING = ".nii.gz"
# Words that nnU-Net's label dictionary reserves.
_RESERVED_CLASSES = {"background", "ignore"}


def plan(train: Sequence[Volume], watched: Sequence[Volume], classes: Sequence[str], out: Path) -> None:
    """Fingerprint, plan and preprocess labelled volumes, once for all trainings on them.

    Args:
        train: cases to train on; images (n_slices, H, W), any H and W.
        watched: cases that nnU-Net watches while it trains; other ones, or the same.
        classes: names of the labels 1..C, in their order.
        out: folder to write, in the layout of an `nnUNet_preprocessed` folder.

    No random numbers are involved, and neither paths nor times are written.

    Raises:
        FedFactoryError: there is nothing to train on or to watch, or a volume or class name cannot be used.
    """
    out = Path(out)
    cases = _distinct(train, watched)
    dataset_json = describe(classes, n_cases=len(cases))
    with (
        new_folder(out) as folder,
        scratch_folder(out) as raw,
        nnunet_environment(raw=raw, preprocessed=folder),
        deterministic(0, "cpu"),
    ):
        voxels = _write_raw(cases, dataset_json, raw)
        from fedfactory.methods.nnunet import _planner

        _planner.fingerprint_and_plan(DATASET, PLANS, voxels)
        _planner.preprocess(DATASET, PLANS, CONFIGURATION)
        _write_split(folder / DATASET, train, watched)


def read_plan(plan_dir: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Plans and dataset description that `plan` wrote into a folder."""
    folder = Path(plan_dir) / DATASET
    if not (folder / "splits_final.json").is_file():
        raise FedFactoryError(f"{plan_dir} is not a folder written by nnunet.plan; run the planning step first.")
    return tuple(parse_json((folder / name).read_text()) for name in (f"{PLANS}.json", "dataset.json"))


def preprocess_for(
    plans: Mapping[str, Any],
    dataset_json: Mapping[str, Any],
    cases: Sequence[Any],
    preprocessed: Path,
) -> None:
    """Preprocess other cases with the plans of an existing model, in the layout that `plan` writes.

    Args:
        plans: content of the model's plans.json.
        dataset_json: content of the model's dataset.json.
        cases: labelled cases to train on, which are watched as well.
        preprocessed: existing empty folder, which takes the place of `nnUNet_preprocessed`.
    """
    folder = preprocessed / DATASET
    folder.mkdir()
    write_json(folder / f"{PLANS}.json", plans)
    write_json(folder / "dataset.json", dataset_json)
    # The trainer copies it beside its results and makes no other use of it.
    write_json(folder / "dataset_fingerprint.json", {})
    _write_split(folder, cases, cases)
    with (
        tempfile.TemporaryDirectory(prefix=".raw-", dir=preprocessed.parent) as raw,
        nnunet_environment(raw=Path(raw), preprocessed=preprocessed),
        deterministic(0, "cpu"),
    ):
        _write_raw(cases, dataset_json, Path(raw))
        from fedfactory.methods.nnunet import _planner

        _planner.preprocess(DATASET, PLANS, CONFIGURATION)


def describe(classes: Sequence[str], n_cases: int) -> dict[str, Any]:
    """nnU-Net's dataset.json for single-channel images; the channel name selects z-score normalisation."""
    if not classes or len(set(classes)) != len(classes) or _RESERVED_CLASSES & set(classes):
        reserved = " and ".join(sorted(_RESERVED_CLASSES))
        raise FedFactoryError(f"Class names must be distinct, at least one, and not {reserved}: {list(classes)}.")
    return {
        "channel_names": {"0": "zscore"},
        "labels": {"background": 0, **{name: i for i, name in enumerate(classes, start=1)}},
        "numTraining": n_cases,
        "file_ending": _ENDING,
    }


def write_json(path: Path, content: Any) -> None:
    """JSON with the keys in their given order: the same content gives the same bytes."""
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _distinct(train: Sequence[Volume], watched: Sequence[Volume]) -> list[Volume]:
    """All cases, each once."""
    if not train or not watched:
        raise FedFactoryError("nnU-Net needs at least one volume to train on, and one to watch.")
    cases = list({id(volume): volume for volume in (*train, *watched)}.values())
    names = [volume.name for volume in cases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FedFactoryError(f"Volume '{twice[0]}' is named twice in the training and validation cases.")
    return cases


def _write_split(folder: Path, train: Sequence[Any], watched: Sequence[Any]) -> None:
    names = {"train": sorted(case.name for case in train), "val": sorted(case.name for case in watched)}
    write_json(folder / "splits_final.json", [names])


def _write_raw(volumes: Sequence[Any], dataset_json: Mapping[str, Any], raw: Path) -> int:
    """Write an nnU-Net raw dataset and return the number of its voxels.

    Raises:
        FedFactoryError: a volume is unusable.
    """
    import SimpleITK

    folder = raw / DATASET
    (folder / "imagesTr").mkdir(parents=True)
    (folder / "labelsTr").mkdir()
    write_json(folder / "dataset.json", dataset_json)
    n_classes = len(dataset_json["labels"]) - 1
    voxels = 0
    for volume in volumes:
        _check_volume(volume, n_classes)
        voxels += volume.images.size
        images = SimpleITK.GetImageFromArray(np.ascontiguousarray(volume.images, dtype=np.float32))
        labels = SimpleITK.GetImageFromArray(np.ascontiguousarray(volume.labels, dtype=np.uint8))
        SimpleITK.WriteImage(images, str(folder / "imagesTr" / f"{volume.name}_0000{_ENDING}"))
        SimpleITK.WriteImage(labels, str(folder / "labelsTr" / f"{volume.name}{_ENDING}"))
    return voxels


def _check_volume(volume: Volume, n_classes: int) -> None:
    # nnU-Net stores the labels of case X as X_seg: a case of that name would be overwritten.
    if not re.fullmatch(r"[A-Za-z0-9_-]+", volume.name) or volume.name.endswith("_seg"):
        raise FedFactoryError(
            f"'{volume.name}' is no usable volume name: letters, digits, _ and -, not ending in _seg."
        )
    if volume.labels is None:
        raise FedFactoryError(f"Volume '{volume.name}' has no labels; nnU-Net is trained on labelled volumes only.")
    if volume.images.ndim != 3 or volume.images.size == 0 or volume.images.shape != volume.labels.shape:
        shapes = f"{volume.images.shape} and {volume.labels.shape}"
        raise FedFactoryError(f"Volume '{volume.name}': images and labels must be (n_slices, H, W), found {shapes}.")
    if not np.isfinite(volume.images).all():
        raise FedFactoryError(f"Volume '{volume.name}' contains values that are not finite.")
    if int(volume.labels.max()) > n_classes:
        raise FedFactoryError(
            f"Volume '{volume.name}' has label {int(volume.labels.max())}, but {n_classes} classes exist."
        )
