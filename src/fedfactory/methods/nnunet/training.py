"""Source training: the rows nnU-Net and nnU-Net + DAug."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedfactory.errors import FedFactoryError
from fedfactory.methods.nnunet.environment import deterministic, nnunet_environment
from fedfactory.methods.nnunet.model import Model, adapted, card, write_curve, write_model
from fedfactory.methods.nnunet.parameters import FinetuningSchedule, NnunetParameters
from fedfactory.methods.nnunet.planning import CONFIGURATION, read_plan
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.checkpoints import Checkpoints
from fedfactory.storage.files import new_folder


def train(
    plan_dir: Path,
    parameters: NnunetParameters,
    seed: int,
    device: str,
    checkpoints: Checkpoints,
    out: Path,
    progress: Progress,
) -> None:
    """Train an nnU-Net on the volumes that `plan` preprocessed.

    Args:
        plan_dir: folder written by `plan`; only read, so that several trainings may share it at the same time.
        parameters: of a source model (`base` not set).
        seed: decides initialisation, sampling and augmentation.
        device: "cpu" or "cuda".
        checkpoints: where the training can go on from.
        out: model folder to write: plans.json, dataset.json, model.json, weights.pt (a state dict of tensors) and
            training.csv.
        progress: updated once per epoch.

    On the CPU and without workers the same inputs give the same bytes in `out`, also after a kill.

    Raises:
        FedFactoryError: unknown trainer, a network that does not fit the plans, or parameters of a fine-tuned model.
    """
    if parameters.base is not None:
        raise FedFactoryError("These parameters are of a fine-tuned model (base is set): use finetune, not train.")
    plans, dataset_json = read_plan(plan_dir)
    plans = adapted(plans, parameters)
    assert parameters.epochs is not None and parameters.initial_lr is not None, "checked where there is no base"
    schedule = FinetuningSchedule(parameters.epochs, parameters.initial_lr)

    def report(figures: Mapping[str, float]) -> None:
        progress.update(int(figures["epoch"]) + 1, schedule.epochs, in_words(figures))

    run = run_training(plans, dataset_json, Path(plan_dir), parameters, schedule, seed, device, checkpoints, report)
    model = Model(plans, dataset_json, card(parameters, dataset_json, run.mirroring_axes), run.weights)
    with new_folder(Path(out)) as folder:
        write_model(folder, model)
        write_curve(folder, [{"schedule": 0, **row} for row in run.rows])


@dataclass(frozen=True)
class Run:
    """What comes out of one training run.

    Attributes:
        weights: state dict of the chosen checkpoint, CPU tensors.
        rows: one mapping per epoch, keys epoch, train_loss, val_loss, val_pseudo_dice and lr.
        mirroring_axes: image axes along which the trainer allows flips at prediction, None for none.
    """

    weights: dict[str, Any]
    rows: list[dict[str, float]]
    mirroring_axes: tuple[int, ...] | None


def run_training(
    plans: Mapping[str, Any],
    dataset_json: Mapping[str, Any],
    preprocessed: Path,
    parameters: NnunetParameters,
    schedule: FinetuningSchedule,
    seed: int,
    device: str,
    checkpoints: Checkpoints,
    report: Callable[[Mapping[str, float]], None],
    weights: Mapping[str, Any] | None = None,
) -> Run:
    """Run one nnU-Net training in this process, or go on with it.

    Args:
        plans: content of an nnU-Net plans file; the network comes from it.
        dataset_json: content of an nnU-Net dataset.json.
        preprocessed: what `nnUNet_preprocessed` should be; only read.
        parameters: trainer, iterations and checkpoint are taken from here.
        schedule: epochs and learning rate.
        seed: see `train`.
        device: see `train`.
        checkpoints: of this training alone; with that of its last epoch, nothing is trained.
        report: called after each epoch with a row of `Run.rows`.
        weights: state dict to start from, all of it; None for nnU-Net's initialisation.
    """
    with (
        tempfile.TemporaryDirectory(prefix="fedfactory-nnunet-") as results,
        nnunet_environment(preprocessed=preprocessed, results=Path(results), workers=parameters.workers),
        deterministic(seed, device),
    ):
        from fedfactory.methods.nnunet import _trainer

        settings = _trainer.Settings(
            epochs=schedule.epochs,
            iterations=parameters.iterations_per_epoch,
            validation_iterations=parameters.validation_iterations,
            initial_lr=schedule.initial_lr,
            momentum=parameters.momentum,
            randomisation=parameters.randomisation,
            on_epoch=report,
            checkpoints=checkpoints,
        )
        trainer = _trainer.make_trainer(parameters.trainer, settings, plans, CONFIGURATION, dataset_json, device)
        trainer.initialize()
        if weights is not None:
            trainer.network.load_state_dict(weights, strict=True)
        trainer.run_training()
    return Run(
        weights=trainer.snapshots[f"checkpoint_{parameters.checkpoint}"],
        rows=[trainer.figures(epoch) for epoch in range(schedule.epochs)],
        mirroring_axes=trainer.inference_allowed_mirroring_axes,
    )


def in_words(figures: Mapping[str, float]) -> str:
    """Put the figures of an epoch into words for a progress line."""
    return (
        f"loss {figures['train_loss']:.3f}, validation loss {figures['val_loss']:.3f}, "
        f"pseudo-Dice {figures['val_pseudo_dice']:.3f}"
    )
