"""The configuration of one nnU-Net row, checked once when it is read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from fedfactory.errors import FedFactoryError

CHECKPOINTS = ("final", "best")


@dataclass(frozen=True)
class FinetuningSchedule:
    """One way to fine-tune: number of epochs and the learning rate that nnU-Net's polynomial decay starts from."""

    epochs: int
    initial_lr: float


@dataclass(frozen=True)
class NnunetParameters:
    """What the benchmark sets about an nnU-Net; everything else stays as nnU-Net plans it.

    Two kinds exist and each rejects the keys that it would silently ignore. A model trained on the source has `epochs`
    and `initial_lr`. A fine-tuned model names the method whose source model it starts from (`base`) and lists
    `schedules`; its network is the base's, so `features_per_stage` is not its to set.

    Attributes:
        trainer: class name of a trainer that nnunetv2 ships. nnUNetTrainer is the stock one (with nnU-Net's default
            augmentation), nnUNetTrainerDA5 the one with the strongest augmentation ("+DAug").
        iterations_per_epoch: training steps in an epoch; a fifth of it (at least one) are validation steps, which is
            the stock proportion (250 and 50).
        epochs: epochs of source training (stock: 1000).
        initial_lr: learning rate of source training (stock: 0.01).
        batch_size: slices in a step; None means as planned.
        features_per_stage: channels of each resolution, finest first; None means the planned network. A list shorter
            than planned cuts the deepest stages off, a longer one is an error.
        test_time_mirroring: average the prediction over flips, as stock nnU-Net does.
        workers: processes that load and augment slices, beside the training. 0 lets the training do it, for which a GPU
            waits; with more, batches depend on how fast each worker is, and two trainings are not equal.
        checkpoint: "final" (stock) or "best" by the moving average of nnU-Net's validation pseudo-Dice.
        base: name of the method whose source model is fine-tuned, None for source training.
        schedules: the fine-tuning runs among which the target's validation volumes choose.
    """

    trainer: str
    iterations_per_epoch: int
    epochs: int | None = None
    initial_lr: float | None = None
    batch_size: int | None = None
    features_per_stage: tuple[int, ...] | None = None
    test_time_mirroring: bool = True
    workers: int = 0
    checkpoint: str = "final"
    base: str | None = None
    schedules: tuple[FinetuningSchedule, ...] = ()

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], where: str) -> NnunetParameters:
        """Check a mapping from the configuration file.

        Args:
            mapping: keys and values as YAML gives them.
            where: where the mapping stands, e.g. "methods.nnunet"; every error begins with it.

        Raises:
            FedFactoryError: unknown, missing or contradictory key, or a value of the wrong type or range.
        """
        values = _checked(mapping, _CHECKS, where)
        for key in ("trainer", "iterations_per_epoch"):
            if values.get(key) is None:
                raise FedFactoryError(f"{where}: the key '{key}' is missing.")
        fine_tuned = values.get("base") is not None
        needed, refused = (
            (("schedules",), ("epochs", "initial_lr", "features_per_stage"))
            if fine_tuned
            else (("epochs", "initial_lr"), ("schedules",))
        )
        kind = "a fine-tuned model (base is set)" if fine_tuned else "a model trained on the source (base is not set)"
        for key in needed:
            if not values.get(key):
                raise FedFactoryError(f"{where}: {kind} needs the key '{key}'.")
        for key in refused:
            if values.get(key):
                raise FedFactoryError(f"{where}: {kind} has no use for the key '{key}'; remove it.")
        return cls(**values)

    @property
    def validation_iterations(self) -> int:
        """Validation steps in an epoch, in the stock proportion of one to five."""
        return max(1, self.iterations_per_epoch // 5)

    def as_dict(self) -> dict[str, Any]:
        """All parameters as JSON types, in the order of the fields."""
        return asdict(self)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("a non-empty text")
    return value


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("a whole number of at least 1")
    return value


def _natural(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("a whole number of at least 0")
    return value


def _rate(value: Any) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value <= 0:
        raise ValueError("a positive number")
    return float(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _checkpoint(value: Any) -> str:
    if value not in CHECKPOINTS:
        raise ValueError(f"one of {', '.join(CHECKPOINTS)}")
    return value


def _features(value: Any) -> tuple[int, ...]:
    if not isinstance(value, (list, tuple)):
        raise ValueError("a list of channel counts, finest resolution first")
    try:
        return tuple(_count(v) for v in value)
    except ValueError:
        raise ValueError("a list of whole numbers of at least 1") from None


def _schedules(value: Any) -> tuple[FinetuningSchedule, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(v, Mapping) for v in value):
        raise ValueError("a list of mappings with the keys epochs and initial_lr")
    return tuple(
        FinetuningSchedule(**_checked(v, _SCHEDULE_CHECKS, f"schedule {i}", all_needed=True))
        for i, v in enumerate(value)
    )


_OPTIONAL = {"epochs", "initial_lr", "batch_size", "features_per_stage", "base"}
_SCHEDULE_CHECKS: dict[str, Callable[[Any], Any]] = {"epochs": _count, "initial_lr": _rate}
_CHECKS: dict[str, Callable[[Any], Any]] = {
    "trainer": _text,
    "iterations_per_epoch": _count,
    "epochs": _count,
    "initial_lr": _rate,
    "batch_size": _count,
    "features_per_stage": _features,
    "test_time_mirroring": _flag,
    "workers": _natural,
    "checkpoint": _checkpoint,
    "base": _text,
    "schedules": _schedules,
}
assert set(_CHECKS) == {f.name for f in fields(NnunetParameters)}


def _checked(
    mapping: Mapping[str, Any], checks: Mapping[str, Callable[[Any], Any]], where: str, all_needed: bool = False
) -> dict[str, Any]:
    """Values of a mapping after the check of each key; None is allowed for the keys of `_OPTIONAL`."""
    if not isinstance(mapping, Mapping):
        raise FedFactoryError(f"{where}: expected a mapping of keys to values, found {mapping!r}.")
    unknown = [str(key) for key in mapping if key not in checks]
    if unknown:
        raise FedFactoryError(f"{where}: unknown key '{unknown[0]}'; known are {', '.join(checks)}.")
    missing = [key for key in checks if all_needed and key not in mapping]
    if missing:
        raise FedFactoryError(f"{where}: the key '{missing[0]}' is missing.")
    values: dict[str, Any] = {}
    for key, value in mapping.items():
        if value is None and key in _OPTIONAL and not all_needed:
            values[key] = None
            continue
        try:
            values[key] = checks[key](value)
        except ValueError as error:
            raise FedFactoryError(f"{where}: '{key}' must be {error}, found {value!r}.") from None
        except FedFactoryError as error:
            raise FedFactoryError(f"{where}: {error}") from None
    return values
