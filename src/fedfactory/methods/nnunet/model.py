"""A trained model as a folder: plain JSON and tensors, no pickled objects, no trace of where it was made."""

from __future__ import annotations

import copy
import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedfactory.errors import FedFactoryError
from fedfactory.methods.nnunet.parameters import NnunetParameters
from fedfactory.methods.nnunet.planning import CONFIGURATION, write_json
from fedfactory.storage.files import parse_json
from fedfactory.storage.tensors import read_tensors, write_tensors

TRAINING_COLUMNS = ("schedule", "epoch", "train_loss", "val_loss", "val_pseudo_dice", "lr")
# Deep supervision leaves the coarsest output out of the loss; with two stages nothing would be left.
_FEWEST_STAGES = 3


@dataclass(frozen=True)
class Model:
    """What is needed to predict with, or to fine-tune, an nnU-Net.

    Attributes:
        plans: content of plans.json, with the network that was trained.
        dataset_json: content of dataset.json.
        card: content of model.json: trainer, configuration, classes, mirroring axes, parameters and, for a fine-tuned
            model, its schedules.
        weights: state dict of the network, CPU tensors.
    """

    plans: dict[str, Any]
    dataset_json: dict[str, Any]
    card: dict[str, Any]
    weights: dict[str, Any]


def read_model(folder: Path) -> Model:
    """Read a model folder.

    Raises:
        FedFactoryError: the folder is not complete.
    """
    folder = Path(folder)
    names = ("plans.json", "dataset.json", "model.json", "weights.pt")
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise FedFactoryError(f"{folder} is no nnU-Net model: {missing[0]} is missing; train it first.")
    plans, dataset_json, card = (parse_json((folder / name).read_text(encoding="utf-8")) for name in names[:3])
    weights = read_tensors(folder / "weights.pt", "cpu", advice="make it again")
    return Model(plans, dataset_json, card, weights)


def write_model(folder: Path, model: Model) -> None:
    """Write a model into an existing folder."""
    write_json(folder / "plans.json", model.plans)
    write_json(folder / "dataset.json", model.dataset_json)
    write_json(folder / "model.json", model.card)
    write_tensors(dict(model.weights), folder / "weights.pt")


def write_curve(folder: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the curve of a training, rows with the keys `TRAINING_COLUMNS`, beside its model."""
    with (folder / "training.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, TRAINING_COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def schedule_file(index: int) -> str:
    """Name, below a model's folder, of the weights that a schedule of its fine-tuning left."""
    return f"schedule{index}.pt"


def card(
    parameters: NnunetParameters, dataset_json: Mapping[str, Any], mirroring_axes: Sequence[int] | None
) -> dict[str, Any]:
    """Make the content of model.json for a model trained with `parameters`."""
    from importlib.metadata import version

    return {
        "trainer": parameters.trainer,
        "configuration": CONFIGURATION,
        "classes": [name for name in dataset_json["labels"] if name != "background"],
        "mirroring_axes": None if mirroring_axes is None else list(mirroring_axes),
        "nnunetv2": version("nnunetv2"),
        "parameters": parameters.as_dict(),
    }


def adapted(plans: Mapping[str, Any], parameters: NnunetParameters) -> dict[str, Any]:
    """Copy the plans with the batch size and the network that the parameters ask for.

    A feature list shorter than the planned number of stages cuts the deepest stages off. The patch stays as planned: it
    is divisible by the smaller total stride as well.

    Raises:
        FedFactoryError: more stages than planned (the patch could not be pooled that often), or fewer than three.
    """
    own = copy.deepcopy(dict(plans))
    configuration = own["configurations"][CONFIGURATION]
    if parameters.batch_size is not None:
        configuration["batch_size"] = parameters.batch_size
    if parameters.features_per_stage is not None:
        network = configuration["architecture"]["arch_kwargs"]
        stages, planned = len(parameters.features_per_stage), network["n_stages"]
        if not _FEWEST_STAGES <= stages <= planned:
            raise FedFactoryError(
                f"features_per_stage lists {stages} stages; for patches of {configuration['patch_size']} pixels "
                f"nnU-Net plans {planned}, and {_FEWEST_STAGES} to {planned} are possible."
            )
        network["n_stages"] = stages
        network["features_per_stage"] = list(parameters.features_per_stage)
        for key in ("kernel_sizes", "strides", "n_conv_per_stage"):
            network[key] = network[key][:stages]
        network["n_conv_per_stage_decoder"] = network["n_conv_per_stage_decoder"][: stages - 1]
    return own
