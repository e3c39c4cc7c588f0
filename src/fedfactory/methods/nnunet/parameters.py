"""The configuration of one nnU-Net row, checked once when it is read."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from fedfactory.config.parameters import STRICT, Count, Natural, Part, Positive, Share, Text
from fedfactory.config.sentences import Misfit


@dataclass(frozen=True)
class FinetuningSchedule:
    """One way to fine-tune.

    Attributes:
        epochs: number of epochs.
        initial_lr: learning rate that nnU-Net's polynomial decay starts from.
        from_dice: least Dice of the source's model on M_t with which the strict protocol takes it.
    """

    __pydantic_config__ = STRICT
    epochs: Count
    initial_lr: Positive
    from_dice: Share = 0.0


@dataclass(frozen=True)
class NnunetParameters:
    """What the benchmark sets about an nnU-Net; everything else stays as nnU-Net plans it.

    Two kinds exist and each rejects the keys that it would silently ignore. A model trained on all labels of a client
    has `epochs` and `initial_lr`. One that is trained on M_t names the method whose source model it starts from
    (`base`) and lists `schedules`; its network is the base's, so `features_per_stage` is not its to set.

    Attributes:
        trainer: class name of a trainer that nnunetv2 ships. ``nnUNetTrainer`` is the stock one (with nnU-Net's default
            augmentation), ``nnUNetTrainerDA5`` the one with the strongest augmentation ("+DAug").
        randomisation: what stands beside the trainer's own augmentation: ``none``; ``gin``, contrasts of shallow random
            networks; or ``synthseg``, images that are drawn from the label maps instead of the images.
        iterations_per_epoch: training steps in an epoch; a fifth of it (at least one) are validation steps, which is
            the stock proportion (250 and 50).
        epochs: epochs of source training (stock: 1000).
        initial_lr: learning rate of source training (stock: 0.01).
        momentum: of the trainer's optimiser; null means the trainer's own (stock: 0.99, a memory of a hundred steps,
            which is all of a short training).
        batch_size: slices in a step; null means as planned.
        features_per_stage: channels of each resolution, finest first; null means the planned network. A list shorter
            than planned cuts the deepest stages off, a longer one is an error.
        test_time_mirroring: average the prediction over flips, as stock nnU-Net does.
        workers: processes that load and augment slices, beside the training. 0 lets the training do it, for which a GPU
            waits; with more, batches depend on how fast each worker is, and two trainings are not equal.
        checkpoint: ``final`` (stock) or ``best`` by the moving average of nnU-Net's validation pseudo-Dice.
        trained_at: whose labels train a model without `base`: the ``source``'s, for all targets; each ``target``'s own,
            all of them; or those of ``all`` clients in one place, which is declared centralised. Both are bounds.
        base: name of the method whose source model is fine-tuned on M_t, null for a model trained on all labels.
        from_scratch: take the base's plan and network, but nnU-Net's initial weights: what M_t teaches alone.
        schedules: the fine-tuning runs among which the target's validation volumes choose; in the strict protocol the
            first whose ``from_dice`` the source's model reaches on M_t, which it has not seen.
    """

    __pydantic_config__ = STRICT
    trainer: Text
    iterations_per_epoch: Count
    randomisation: Literal["none", "gin", "synthseg"] = "none"
    epochs: Count | None = None
    initial_lr: Positive | None = None
    momentum: Part | None = None
    batch_size: Count | None = None
    features_per_stage: Annotated[tuple[Count, ...], Field(min_length=1)] | None = None
    test_time_mirroring: bool = True
    workers: Natural = 0
    checkpoint: Literal["final", "best"] = "final"
    trained_at: Literal["source", "target", "all"] = "source"
    base: Text | None = None
    from_scratch: bool = False
    schedules: tuple[FinetuningSchedule, ...] = ()

    def __post_init__(self) -> None:
        """Check that each kind has its keys, and none that it would silently ignore."""
        trained = ("epochs", "initial_lr")
        needed: tuple[str, ...]
        refused: tuple[str, ...]
        if self.base is None:
            kind, needed = "a model trained on all labels (base is not set)", trained
            refused = ("schedules", "from_scratch")
        else:
            kind, needed = "a fine-tuned model (base is set)", ("schedules",)
            refused = (*trained, "features_per_stage")
            if self.checkpoint == "best":
                raise Misfit("checkpoint", f"{kind} ends with its 'final' one: nnU-Net watches M_t alone; remove it")
            if self.trained_at != "source":
                raise Misfit("trained_at", f"{kind} has no use for it; remove it")
        if self.trained_at != "source" and self.checkpoint == "best":
            raise Misfit("checkpoint", "a bound ends with its 'final' one: no label may choose its state; remove it")
        for key in needed:
            if not getattr(self, key):
                raise Misfit(key, f"is missing: {kind} needs it")
        for key in refused:
            if getattr(self, key):
                raise Misfit(key, f"{kind} has no use for it; remove it")

    @property
    def validation_iterations(self) -> int:
        """Validation steps in an epoch, in the stock proportion of one to five."""
        return max(1, self.iterations_per_epoch // 5)

    def as_dict(self) -> dict[str, Any]:
        """All parameters as JSON types, in the order of the fields."""
        return asdict(self)
