"""What nnU-Net declares."""

from fedfactory.methods.nnunet.parameters import NnunetParameters
from fedfactory.orchestration.declared import CHOOSE, PREDICT, Card, Method, Rule
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
    card=Card(
        papers=(
            "Isensee et al., Nature Methods 18, 203 (2021).",
            "GIN: Ouyang et al., IEEE TMI 42, 1095 (2023).",
            "SynthSeg: Billot et al., Medical Image Analysis 86, 102789 (2023).",
        ),
        code="nnU-Net: Apache 2.0, used as the package nnunetv2; GIN: MIT; SynthSeg: no licence in its README",
        normalisation="z-score of each case, instance normalisation; nothing travels but the source's model",
        failures="Finds next to nothing where a contrast is turned round (SWI, OCTA, PET, ROSSA, HE): the row of the "
        "source, with more augmentation as well. A slice of M_t has another z-score than its volume, which +TL has to "
        "bridge. Images drawn from label maps show no structure that has no label.",
    ),
)
