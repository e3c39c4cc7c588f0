"""Fine-tuning on the few labelled target slices M_t: the row nnU-Net + TL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedfactory.errors import FedFactoryError
from fedfactory.evaluation.dice import mean_validation_dice
from fedfactory.methods.nnunet.inference import make_segmenter
from fedfactory.methods.nnunet.model import Model, adapted, card, read_model, schedule_file, write_curve, write_model
from fedfactory.methods.nnunet.parameters import FinetuningSchedule, NnunetParameters
from fedfactory.methods.nnunet.planning import preprocess_for
from fedfactory.methods.nnunet.training import in_words, run_training
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.checkpoints import Checkpoints
from fedfactory.storage.files import new_folder, scratch_folder
from fedfactory.storage.tensors import write_tensors

if TYPE_CHECKING:
    from fedfactory.data.store import Volume


@dataclass(frozen=True)
class _Case:
    """A volume under a name that cannot collide with another."""

    name: str
    images: np.ndarray
    labels: Any


def finetune(
    source_model: Path,
    few_shot: Volume,
    parameters: NnunetParameters,
    seed: int,
    device: str,
    checkpoints: Checkpoints,
    out: Path,
    progress: Progress,
) -> None:
    """Fine-tune a source model on the target's labelled slices, once per schedule.

    Everything about the source comes out of its model folder; its images are not touched. All weights are transferred,
    the segmentation heads included, because the classes are the same (nnU-Net's own transfer leaves the heads out);
    none with ``from_scratch``.

    Args:
        source_model: folder written by `train`.
        few_shot: the labelled slices M_t, images and labels (n, H, W); each slice becomes a training case of its own,
            and nnU-Net watches its progress on them.
        parameters: of a fine-tuned model (`base` and `schedules` set).
        seed: decides sampling and augmentation; the same for every schedule.
        device: "cpu" or "cuda".
        checkpoints: where the fine-tuning can go on from; every schedule has a folder of its own in theirs.
        out: model folder to write, as `train` does, with the final weights of the schedule that M_t itself chooses;
            those of each one stand beside them, model.json lists the schedules and names the chosen one, training.csv
            holds the epochs of all of them.
        progress: updated once per epoch, counting the epochs of all schedules.

    Raises:
        FedFactoryError: no model at `source_model`, unusable slices, or parameters of a source model.
    """
    if not parameters.schedules:
        raise FedFactoryError("These parameters are of a source model (no schedules): use train, not finetune.")
    source = read_model(source_model)
    plans, cases = adapted(source.plans, parameters), _cases(few_shot)
    runs = []
    with scratch_folder(Path(out)) as work:
        preprocessed = work / "preprocessed"
        preprocessed.mkdir()
        preprocess_for(plans, source.dataset_json, cases, preprocessed)
        for index, schedule in enumerate(parameters.schedules):
            runs.append(
                run_training(
                    plans,
                    source.dataset_json,
                    preprocessed,
                    parameters,
                    schedule,
                    seed,
                    device,
                    Checkpoints(checkpoints.folder / f"schedule{index}", str(schedule)),
                    _Report(parameters.schedules, index, progress),
                    None if parameters.from_scratch else source.weights,
                )
            )
    dice = None
    if len(parameters.schedules) > 1:
        dice = _dice(source, few_shot, device, parameters.test_time_mirroring)
    chosen = chosen_by_source(parameters.schedules, dice)
    about = card(parameters, source.dataset_json, runs[chosen].mirroring_axes)
    about |= {"schedules": [asdict(schedule) for schedule in parameters.schedules]}
    about |= {"chosen_schedule": chosen, "source_dice_on_m_t": dice}
    model = Model(plans, source.dataset_json, about, runs[chosen].weights)
    rows = [{"schedule": i, **row} for i, run in enumerate(runs) for row in run.rows]
    with new_folder(Path(out)) as folder:
        write_model(folder, model)
        write_curve(folder, rows)
        for index, run in enumerate(runs):
            write_tensors(dict(run.weights), folder / schedule_file(index))


def chosen_by_source(schedules: Sequence[FinetuningSchedule], dice: float | None) -> int:
    """Index of the schedule that is taken without validation volumes: the first whose ``from_dice`` is reached.

    Args:
        schedules: of a fine-tuning; the last one is taken where none fits.
        dice: of the source's model on M_t, which it has not seen; None where there is nothing to choose.
    """
    fits = [i for i, schedule in enumerate(schedules) if dice is None or dice >= schedule.from_dice]
    return fits[0] if fits else len(schedules) - 1


class _Report:
    """Progress over all schedules: epochs done of the epochs of all of them."""

    def __init__(self, schedules: Sequence[FinetuningSchedule], index: int, progress: Progress) -> None:
        self._before = sum(s.epochs for s in schedules[:index])
        self._total = sum(s.epochs for s in schedules)
        self._name = f"schedule {index + 1} of {len(schedules)}"
        self._progress = progress

    def __call__(self, figures: Mapping[str, float]) -> None:
        done = self._before + int(figures["epoch"]) + 1
        self._progress.update(done, self._total, f"{self._name}, {in_words(figures)}")


def _cases(few_shot: Volume) -> list[_Case]:
    if few_shot.labels is None or few_shot.images.ndim != 3 or few_shot.images.shape != few_shot.labels.shape:
        raise FedFactoryError("The few-shot slices must have images and labels of the same shape (n, H, W).")
    slices = range(len(few_shot.images))
    return [_Case(f"few_shot_{i}", few_shot.images[i : i + 1], few_shot.labels[i : i + 1]) for i in slices]


def _dice(model: Model, volume: Volume, device: str, mirroring: bool) -> float:
    """Mean foreground Dice of a model over labelled slices."""
    segment = make_segmenter(model, device, mirroring)
    found = mean_validation_dice([(segment(volume.images), volume.labels)], len(model.card["classes"]))
    return 0.0 if found is None else found
