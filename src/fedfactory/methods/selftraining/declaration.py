"""What self-training declares."""

from fedfactory.methods.selftraining.parameters import SelfTrainingParameters
from fedfactory.orchestration.declared import FIT, PREDICT, Card, Method
from fedfactory.orchestration.labels import NONE, Labels


def _labels(p: SelfTrainingParameters) -> Labels:
    return Labels(few_shot=None) if p.batch.labelled else NONE


DECLARATION = Method(
    name="selftraining",
    title="The source's nnU-Net, which goes on learning at the target: mean teacher, SHOT, Tent, pseudo-labels",
    rules=(FIT, PREDICT),
    parameters="fedfactory.methods.selftraining.parameters:SelfTrainingParameters",
    cells="fedfactory.methods.selftraining.cells:SelfTrainingCells",
    labels=_labels,
    fit="fedfactory.methods.selftraining.training:fit",
    segmenter="fedfactory.methods.nnunet.inference:segmenter",
    refers=("base",),
    # A store's slices twice, and the feature maps of a batch.
    memory_mb=6000,
    peaks={"nnU-Net's network, a step of 12 slices": lambda p: (p.batch.labelled + p.batch.unlabelled) / 12},
    card=Card(
        papers=(
            "Mean teacher: Tarvainen and Valpola, NeurIPS 2017.",
            "SHOT: Liang et al., ICML 2020.",
            "Tent: Wang et al., ICLR 2021.",
            "UPL-SFDA: Wu et al., IEEE TMI 2023.",
        ),
        code="Tent: MIT; SHOT, UPL-SFDA: no licence in their READMEs",
        normalisation="nnU-Net's; of Tent scales and shifts learn; nothing travels but the source's model",
        failures="Without M_t it grows sure of what the source's network says, and that is empty where a contrast is "
        "turned round.",
    ),
)
