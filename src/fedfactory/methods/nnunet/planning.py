"""From volumes to what nnU-Net trains on: raw dataset, fingerprint, plans, preprocessed cases, split.

The physical spacing of the scans has been dealt with before any method of the benchmark sees them, so nnU-Net is shown
the pixel grid: unit spacing, no resampling, one 2D configuration.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedfactory.errors import FedFactoryError
from fedfactory.methods.nnunet.environment import deterministic, nnunet_environment
from fedfactory.storage.files import new_folder, scratch_folder

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


def plan(
    volumes: Iterable[Volume], classes: Sequence[str], out: Path, *, train: Sequence[str], validation: Sequence[str]
) -> None:
    """Fingerprint, plan and preprocess one client's labelled volumes, once for all trainings on them.

    Args:
        volumes: labelled cases, read once and one at a time; images (n_slices, H, W), any H and W.
        classes: names of the labels 1..C, in their order.
        out: folder to write, in the layout of an `nnUNet_preprocessed` folder.
        train: names of the cases to train on.
        validation: names of the cases that nnU-Net watches during training; at least one.

    No random numbers are involved, and neither paths nor times are written.

    Raises:
        FedFactoryError: the split does not fit the volumes, or a volume or class name cannot be used.
    """
    out = Path(out)
    dataset_json = describe(classes, n_cases=len(train) + len(validation))
    _check_split(train, validation)
    with (
        new_folder(out) as folder,
        scratch_folder(out) as raw,
        nnunet_environment(raw=raw, preprocessed=folder),
        deterministic(0, "cpu"),
    ):
        voxels = _write_raw(volumes, dataset_json, raw, expected=[*train, *validation])
        from fedfactory.methods.nnunet import _planner

        _planner.fingerprint_and_plan(DATASET, PLANS, voxels)
        _planner.preprocess(DATASET, PLANS, CONFIGURATION)
        write_json(folder / DATASET / "splits_final.json", [{"train": sorted(train), "val": sorted(validation)}])


def read_plan(plan_dir: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Plans and dataset description that `plan` wrote into a folder."""
    folder = Path(plan_dir) / DATASET
    if not (folder / "splits_final.json").is_file():
        raise FedFactoryError(f"{plan_dir} is not a folder written by nnunet.plan; run the planning step first.")
    return tuple(json.loads((folder / name).read_text()) for name in (f"{PLANS}.json", "dataset.json"))


def preprocess_for(
    plans: Mapping[str, Any],
    dataset_json: Mapping[str, Any],
    train: Sequence[Any],
    validation: Sequence[Any],
    preprocessed: Path,
) -> None:
    """Preprocess other cases with the plans of an existing model, in the layout that `plan` writes.

    Args:
        plans: content of the model's plans.json.
        dataset_json: content of the model's dataset.json.
        train: labelled cases to train on.
        validation: labelled cases to watch; may be the same as `train`.
        preprocessed: existing empty folder, which takes the place of `nnUNet_preprocessed`.
    """
    cases = {v.name: v for v in (*train, *validation)}
    folder = preprocessed / DATASET
    folder.mkdir()
    write_json(folder / f"{PLANS}.json", plans)
    write_json(folder / "dataset.json", dataset_json)
    # The trainer copies it beside its results and makes no other use of it.
    write_json(folder / "dataset_fingerprint.json", {})
    splits = [{"train": sorted(v.name for v in train), "val": sorted(v.name for v in validation)}]
    write_json(folder / "splits_final.json", splits)
    with (
        tempfile.TemporaryDirectory(prefix=".raw-", dir=preprocessed.parent) as raw,
        nnunet_environment(raw=Path(raw), preprocessed=preprocessed),
        deterministic(0, "cpu"),
    ):
        _write_raw(cases.values(), dataset_json, Path(raw), expected=list(cases))
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


def _check_split(train: Sequence[str], validation: Sequence[str]) -> None:
    if not train or not validation:
        raise FedFactoryError("nnU-Net needs at least one training and one validation volume.")
    names = [*train, *validation]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FedFactoryError(f"Volume '{twice[0]}' is named twice in the training and validation cases.")


def _write_raw(volumes: Iterable[Volume], dataset_json: Mapping[str, Any], raw: Path, expected: Sequence[str]) -> int:
    """Write an nnU-Net raw dataset and return the number of its voxels.

    Raises:
        FedFactoryError: the names are not the expected ones, or a volume is unusable.
    """
    import SimpleITK

    folder = raw / DATASET
    (folder / "imagesTr").mkdir(parents=True)
    (folder / "labelsTr").mkdir()
    write_json(folder / "dataset.json", dataset_json)
    n_classes = len(dataset_json["labels"]) - 1
    seen: list[str] = []
    voxels = 0
    for volume in volumes:
        _check_volume(volume, n_classes)
        seen.append(volume.name)
        voxels += volume.images.size
        images = SimpleITK.GetImageFromArray(np.ascontiguousarray(volume.images, dtype=np.float32))
        labels = SimpleITK.GetImageFromArray(np.ascontiguousarray(volume.labels, dtype=np.uint8))
        SimpleITK.WriteImage(images, str(folder / "imagesTr" / f"{volume.name}_0000{_ENDING}"))
        SimpleITK.WriteImage(labels, str(folder / "labelsTr" / f"{volume.name}{_ENDING}"))
    if sorted(seen) != sorted(expected):
        odd = sorted(set(seen) ^ set(expected)) or sorted(seen)
        raise FedFactoryError(f"The volumes and the names in the split differ: {', '.join(odd)}.")
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
