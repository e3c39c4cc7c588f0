"""Fine-tuning on the few labelled target slices M_t: the row nnU-Net + TL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedfactory.errors import FedFactoryError
from fedfactory.evaluation.dice import mean_validation_dice
from fedfactory.methods.nnunet.inference import make_segmenter
from fedfactory.methods.nnunet.model import Model, adapted, card, read_model, write_model
from fedfactory.methods.nnunet.parameters import FinetuningSchedule, NnunetParameters
from fedfactory.methods.nnunet.planning import preprocess_for
from fedfactory.methods.nnunet.training import in_words, run_training
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.checkpoints import Checkpoints
from fedfactory.storage.files import new_folder, scratch_folder

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
    validation: Sequence[Volume],
    parameters: NnunetParameters,
    seed: int,
    device: str,
    checkpoints: Checkpoints,
    out: Path,
    progress: Progress,
) -> None:
    """Fine-tune a source model on the target's labelled slices, once per schedule, and keep the best schedule.

    Everything about the source comes out of its model folder; its images are not touched. All weights are transferred,
    the segmentation heads included, because the classes are the same (nnU-Net's own transfer leaves the heads out);
    none with ``from_scratch``.

    Args:
        source_model: folder written by `train`.
        few_shot: the labelled slices M_t, images and labels (n, H, W); each slice becomes a training case of its own.
        validation: labelled validation volumes of the target. The schedule with the best mean foreground Dice over them
            is kept (the first one of equals). If there are none, the first schedule is kept, with its final checkpoint.
        parameters: of a fine-tuned model (`base` and `schedules` set).
        seed: decides sampling and augmentation; the same for every schedule.
        device: "cpu" or "cuda".
        checkpoints: where the fine-tuning can go on from; every schedule has a folder of its own in theirs.
        out: model folder to write, as `train` does; model.json lists the schedules with their validation Dice and names
            the chosen one, training.csv holds the epochs of all of them.
        progress: updated once per epoch, counting the epochs of all schedules.

    Raises:
        FedFactoryError: no model at `source_model`, unusable slices, or parameters of a source model.
    """
    if not parameters.schedules:
        raise FedFactoryError("These parameters are of a source model (no schedules): use train, not finetune.")
    if not validation:
        # "best" would be judged on the training slices themselves.
        parameters = replace(parameters, checkpoint="final")
    source = read_model(source_model)
    plans = adapted(source.plans, parameters)
    train_cases, validation_cases = _cases(few_shot, validation)
    with scratch_folder(Path(out)) as work:
        preprocessed = work / "preprocessed"
        preprocessed.mkdir()
        preprocess_for(plans, source.dataset_json, train_cases, validation_cases or train_cases, preprocessed)
        results = []
        for index, schedule in enumerate(parameters.schedules):
            report = _Report(parameters.schedules, index, progress)
            own = Checkpoints(checkpoints.folder / f"schedule{index}", str(schedule))
            run = run_training(
                plans,
                source.dataset_json,
                preprocessed,
                parameters,
                schedule,
                seed,
                device,
                own,
                report,
                None if parameters.from_scratch else source.weights,
            )
            model = Model(
                plans, source.dataset_json, card(parameters, source.dataset_json, run.mirroring_axes), run.weights
            )
            results.append((run, model, _validation_dice(model, validation, device, parameters.test_time_mirroring)))
    chosen = _best([score for _, _, score in results])
    model = results[chosen][1]
    model.card["schedules"] = [
        {**asdict(schedule), "validation_dice": score}
        for schedule, (_, _, score) in zip(parameters.schedules, results, strict=True)
    ]
    model.card["chosen_schedule"] = chosen
    model.card["chosen_by"] = "validation" if validation else "first (no validation volumes)"
    rows = [{"schedule": i, **row} for i, (run, _, _) in enumerate(results) for row in run.rows]
    with new_folder(Path(out)) as folder:
        write_model(folder, model, rows)


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


def _cases(few_shot: Volume, validation: Sequence[Volume]) -> tuple[list[_Case], list[_Case]]:
    if few_shot.labels is None or few_shot.images.ndim != 3 or few_shot.images.shape != few_shot.labels.shape:
        raise FedFactoryError("The few-shot slices must have images and labels of the same shape (n, H, W).")
    slices = range(len(few_shot.images))
    train = [_Case(f"few_shot_{i}", few_shot.images[i : i + 1], few_shot.labels[i : i + 1]) for i in slices]
    return train, [_Case(f"validation_{i}", v.images, v.labels) for i, v in enumerate(validation)]


def _validation_dice(model: Model, validation: Sequence[Volume], device: str, mirroring: bool) -> float | None:
    """Mean over the volumes of the mean foreground Dice; None if there is nothing to average."""
    if not validation:
        return None
    segment = make_segmenter(model, device, mirroring)
    return mean_validation_dice(((segment(v.images), v.labels) for v in validation), len(model.card["classes"]))


def _best(scores: Sequence[float | None]) -> int:
    """Index of the highest value; the first of equals; values that are None come last."""
    return max(range(len(scores)), key=lambda i: (-1.0 if scores[i] is None else scores[i], -i))
