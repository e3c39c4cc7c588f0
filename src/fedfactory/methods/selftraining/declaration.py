"""What self-training declares."""

from fedfactory.methods.selftraining.parameters import SelfTrainingParameters
from fedfactory.orchestration.declared import FIT, PREDICT, Method
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
)
