"""Prediction with a model folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from fedfactory.data.store import Volume
from fedfactory.errors import FedFactoryError
from fedfactory.evaluation.choice import State
from fedfactory.evaluation.dice import mean_validation_dice
from fedfactory.methods.contract import Segmenter, Trained
from fedfactory.methods.nnunet.environment import deterministic, nnunet_environment
from fedfactory.methods.nnunet.model import Model, read_model, schedule_file
from fedfactory.methods.nnunet.planning import CONFIGURATION
from fedfactory.storage.state_dicts import read_state_dict


def segmenter(trained: Trained) -> Segmenter:
    """The segmenter of a cell."""
    model = read_model(trained.model)
    if trained.choice is None:
        return make_segmenter(model, trained.device, trained.parameters["mirroring"])
    return _of_schedule(trained, model, _schedules(model)[trained.choice.state])


def choose(trained: Trained, volumes: Sequence[Volume]) -> dict[State, float]:
    """Validation Dice of what each schedule of a fine-tuning left; nothing if no volume shows a class."""
    model, found = read_model(trained.model), {}
    for state, index in _schedules(model).items():
        segment = _of_schedule(trained, model, index)
        dice = mean_validation_dice(((segment(v.images), v.labels) for v in volumes), len(trained.view.classes))
        if dice is not None:
            found[state] = dice
    return found


def _schedules(model: Model) -> dict[State, int]:
    """What each schedule of a fine-tuning left, and the schedule's number."""
    each = model.card["parameters"]["iterations_per_epoch"]
    return {State(s["epochs"] * each, f"schedule {i + 1}"): i for i, s in enumerate(model.card["schedules"])}


def _of_schedule(trained: Trained, model: Model, schedule: int) -> Segmenter:
    """The model's segmenter by what a schedule left."""
    weights = read_state_dict(trained.model / schedule_file(schedule), "cpu", advice="make it again")
    return make_segmenter(replace(model, weights=weights), trained.device, trained.parameters["mirroring"])


def load_segmenter(model: Path, device: str, test_time_mirroring: bool) -> Segmenter:
    """Load a model and return the function that segments one volume.

    The function takes the slices of a volume, (n, H, W) float32, and returns their labels, (n, H, W) uint8. Hand it
    whole volumes: nnU-Net normalises a case by its own mean and deviation (z-score, stock behaviour), so the other
    slices of the call influence a slice through these two numbers. Beyond that each slice is segmented alone.

    Args:
        model: folder written by `train` or `finetune`.
        device: "cpu" or "cuda".
        test_time_mirroring: average over the flips that the trainer allows (four passes instead of one).

    Raises:
        FedFactoryError: the folder is no model; or, from the function, images of another shape or with values that are
            not finite.
    """
    return make_segmenter(read_model(model), device, test_time_mirroring)


def make_segmenter(model: Model, device: str, test_time_mirroring: bool) -> Segmenter:
    """`load_segmenter` for a model in memory."""
    with nnunet_environment(), deterministic(0, device):
        import torch
        from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

        from fedfactory.methods.nnunet._predictor import BenchmarkPredictor

        plans = PlansManager(model.plans)
        configuration = plans.get_configuration(CONFIGURATION)
        predictor = BenchmarkPredictor(
            use_mirroring=test_time_mirroring, device=torch.device(device), verbose=False, allow_tqdm=False
        )
        network = _network(model, plans, configuration)
        axes = model.card["mirroring_axes"]
        predictor.manual_initialization(
            network,
            plans,
            configuration,
            [model.weights],
            model.dataset_json,
            model.card["trainer"],
            None if axes is None else tuple(axes),
        )

    def segment(images: np.ndarray) -> np.ndarray:
        images = np.asarray(images)
        if images.ndim != 3 or images.size == 0:
            raise FedFactoryError(f"A volume to segment must have the shape (n, H, W), found {images.shape}.")
        if not np.isfinite(images).all():
            raise FedFactoryError("A volume to segment contains values that are not finite.")
        with nnunet_environment(), deterministic(0, device):
            labels = predictor.predict_single_npy_array(images[None].astype(np.float32), {"spacing": [1.0, 1.0, 1.0]})
        return np.asarray(labels).astype(np.uint8)

    return segment


def network_of(model: Model, device: str) -> Any:
    """The model's network with its weights: slices (n, 1, H, W), normalised -> logits (n, classes + 1, H, W)."""
    with nnunet_environment():
        from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

        plans = PlansManager(model.plans)
        network = _network(model, plans, plans.get_configuration(CONFIGURATION))
    network.load_state_dict(model.weights)
    return network.to(device)


def _network(model: Model, plans: Any, configuration: Any) -> Any:
    """Build the model's network, without weights, as its trainer builds it."""
    from fedfactory.methods.nnunet import _trainer

    build = _trainer.trainer_class(model.card["trainer"]).build_network_architecture
    heads = plans.get_label_manager(model.dataset_json).num_segmentation_heads
    return build(plans, configuration, len(model.dataset_json["channel_names"]), heads, False)
