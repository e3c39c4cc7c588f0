"""nnU-Net's trainers, made quiet and reproducible. Imports nnunetv2: import it late, in `nnunet_environment`."""

from __future__ import annotations

import copy
import logging
import pkgutil
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import torch

from fedfactory.config.skipped_imports import without
from fedfactory.errors import FedFactoryError
from fedfactory.methods.nnunet._randomisation import randomised
from fedfactory.methods.nnunet.resume import restore, state_of
from fedfactory.storage.checkpoints import Checkpoints, Clock

# For nnU-Net's plots, its split into folds and its own validation, none of which is used here: a second of every job.
with without("seaborn", "sklearn.model_selection", "nnunetv2.evaluation.evaluate_predictions"):
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

_LOG = logging.getLogger(__name__)
_TRAINERS = "nnunetv2.training.nnUNetTrainer"


@dataclass(frozen=True)
class Settings:
    """What the benchmark decides about a training run.

    Attributes:
        epochs, iterations, validation_iterations, initial_lr: length and learning rate.
        momentum: of the optimiser; None for the trainer's own.
        randomisation: of the training's images.
        on_epoch: called after each epoch with its figures (:meth:`BenchmarkTrainer.figures`).
        checkpoints: where the training can go on from; its last state stays there.
    """

    epochs: int
    iterations: int
    validation_iterations: int
    initial_lr: float
    momentum: float | None
    randomisation: str
    on_epoch: Callable[[dict[str, float]], None]
    checkpoints: Checkpoints


# In front of a trainer class of nnunetv2, which a checker cannot know.
_Base: Any = object


class BenchmarkTrainer(_Base):
    """Mixin in front of a trainer class of nnunetv2: sets the length of the run and keeps its by-products away.

    Network, loss, optimiser, sampling and augmentation are the trainer's own. Its best and its final weights stay in
    memory, and what a resumed training needs is written by us: nnU-Net's files are pickles of arbitrary objects.
    """

    settings: ClassVar[Settings]

    def __init__(self, plans: dict, configuration: str, fold: int, dataset_json: dict, device: torch.device) -> None:
        self.snapshots: dict[str, dict[str, torch.Tensor]] = {}
        self._clock = Clock()
        super().__init__(plans, configuration, fold, dataset_json, device)
        # After super(), so that they also win over trainers that set a length of their own.
        self.num_epochs = self.settings.epochs
        self.num_iterations_per_epoch = self.settings.iterations
        self.num_val_iterations_per_epoch = self.settings.validation_iterations
        self.initial_lr = self.settings.initial_lr
        self.logger.plot_progress_png = lambda output_folder: None

    def _do_i_compile(self) -> bool:
        return False

    def plot_network_architecture(self) -> None:
        """Skip the drawing of the network (10 s on a CPU)."""

    def _save_debug_information(self) -> None:
        """Skip debug.json, which holds the host name and absolute paths."""

    def print_to_log_file(self, *args: Any, also_print_to_console: bool = True, add_timestamp: bool = True) -> None:
        """Log instead of writing a file with the time in its name."""
        _LOG.info("%s", " ".join(str(a) for a in args).strip())

    def get_training_transforms(self, *args: Any, **kwargs: Any) -> Any:
        """Return the trainer's augmentation, without the choice of algorithms by stop watch, and randomised.

        GaussianBlurTransform(benchmark=True), which the stock trainer uses, times two convolutions and takes the
        faster one. They differ in rounding, so that weights would depend on what else the machine is doing.
        """
        transforms = super().get_training_transforms(*args, **kwargs)
        _without_benchmark(transforms)
        return randomised(transforms, self.settings.randomisation)

    def configure_optimizers(self) -> Any:
        """The trainer's own, with the momentum of the settings.

        Raises:
            FedFactoryError: its optimiser has none.
        """
        optimizer, scheduler = super().configure_optimizers()
        if self.settings.momentum is not None:
            for group in optimizer.param_groups:
                if "momentum" not in group:
                    raise FedFactoryError(
                        f"'momentum' is set, but the optimiser of {type(self).__name__} has none; remove it"
                    )
                group["momentum"] = self.settings.momentum
        return optimizer, scheduler

    def save_checkpoint(self, filename: str) -> None:
        """Keep the weights in memory, under the name of the checkpoint: checkpoint_best or checkpoint_final."""
        name = Path(filename).stem
        if name != "checkpoint_latest":
            state = self.network.state_dict()
            self.snapshots[name] = {key: value.detach().cpu().clone() for key, value in state.items()}

    def on_train_start(self) -> None:
        """Stock, then go on from the last checkpoint."""
        super().on_train_start()
        checkpoints = self.settings.checkpoints
        if epochs := checkpoints.rounds():
            restore(self, checkpoints.load(epochs[-1]))

    def on_epoch_end(self) -> None:
        """Stock, then leave a checkpoint where one is due, and report the figures of the epoch."""
        super().on_epoch_end()
        if self._clock.due() or self.current_epoch == self.num_epochs:
            self.settings.checkpoints.save(self.current_epoch, state_of(self))
            self._clock.done()
        self.settings.on_epoch(self.figures(self.current_epoch - 1))

    def figures(self, epoch: int) -> dict[str, float]:
        """Figures of a finished epoch: epoch, train_loss, val_loss, val_pseudo_dice and lr."""
        names = {"train_loss": "train_losses", "val_loss": "val_losses", "val_pseudo_dice": "mean_fg_dice", "lr": "lrs"}
        return {"epoch": epoch, **{name: float(self.logger.get_value(key, step=epoch)) for name, key in names.items()}}


def make_trainer(
    name: str,
    settings: Settings,
    plans: Mapping[str, Any],
    configuration: str,
    dataset_json: Mapping[str, Any],
    device: str,
) -> nnUNetTrainer:
    """Make an nnU-Net trainer for fold 0 of the dataset in `nnUNet_preprocessed`.

    Raises:
        FedFactoryError: nnunetv2 ships no trainer of that name.
    """
    trainer = type(name, (BenchmarkTrainer, trainer_class(name)), {"settings": settings})
    plans = {**copy.deepcopy(dict(plans)), "continue_training": False}
    return trainer(plans, configuration, 0, copy.deepcopy(dict(dataset_json)), torch.device(device))


def trainer_class(name: str) -> type[nnUNetTrainer]:
    """Find the trainer class of nnunetv2 with a given name.

    nnU-Net's own search imports every trainer module on the way, and with them timm and torchvision. This one reads the
    sources and imports the one module that defines the class.

    Raises:
        FedFactoryError: nnunetv2 ships no trainer of that name.
    """
    package: Any = find_spec(_TRAINERS)
    known: set[str] = set()
    for module in pkgutil.walk_packages(package.submodule_search_locations, f"{_TRAINERS}."):
        if module.ispkg:
            continue
        finder: Any = module.module_finder
        source = finder.find_spec(module.name).loader.get_source(module.name)
        classes = re.findall(r"^class (\w+)", source, flags=re.MULTILINE)
        if name in classes:
            return getattr(import_module(module.name), name)
        known |= {c for c in classes if c.startswith("nnUNetTrainer")}
    raise FedFactoryError(f"nnunetv2 has no trainer '{name}'; it has {', '.join(sorted(known))}.")


def _without_benchmark(transform: Any) -> None:
    """Switch `benchmark` off in a transform and in all transforms that it contains."""
    if isinstance(transform, (list, tuple)):
        for part in transform:
            _without_benchmark(part)
        return
    if getattr(transform, "benchmark", False):
        transform.benchmark = False
    for attribute in ("transforms", "transform", "list_of_transforms"):
        _without_benchmark(getattr(transform, attribute, ()))
