"""What nnU-Net declares."""

from fedfactory.methods.nnunet.parameters import NnunetParameters
from fedfactory.orchestration.declared import CHOOSE, PREDICT, Method, Rule
from fedfactory.orchestration.labels import NONE, TRAINING, Labels


def _finetuning(p: NnunetParameters, clients: int) -> int:
    return sum(schedule.epochs for schedule in p.schedules) * p.iterations_per_epoch


def _labels(p: NnunetParameters) -> Labels:
    """Of a model that is trained on M_t (``base``) validation volumes choose the schedule, if there are several."""
    if p.trained_at != "source":
        return TRAINING
    return Labels(few_shot=None, validation=len(p.schedules) > 1) if p.base else NONE


DECLARATION = Method(
    name="nnunet",
    title="nnU-Net, trained on the source, or fine-tuned on M_t",
    rules=(
        Rule("nnunet_plan", private=("nnunet_plan",)),
        Rule(
            "nnunet_train",
            lets_out="the model of the source, which segments every target",
            steps=lambda p, clients: p.epochs * p.iterations_per_epoch,
        ),
        Rule("nnunet_train_target", steps=lambda p, clients: p.epochs * p.iterations_per_epoch),
        Rule("nnunet_plan_pooled", private=("nnunet_plan",)),
        Rule("nnunet_train_pooled", steps=lambda p, clients: p.epochs * p.iterations_per_epoch),
        Rule("nnunet_finetune", steps=_finetuning),
        CHOOSE,
        PREDICT,
    ),
    parameters="fedfactory.methods.nnunet.parameters:NnunetParameters",
    cells="fedfactory.methods.nnunet.cells:NnunetCells",
    labels=_labels,
    choose="fedfactory.methods.nnunet.inference:choose",
    segmenter="fedfactory.methods.nnunet.inference:segmenter",
    refers=("base",),
    peaks={"nnU-Net's network, a step of 12 slices": lambda p: (p.batch_size or 12) / 12},
)
