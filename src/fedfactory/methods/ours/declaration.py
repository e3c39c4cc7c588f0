"""What ours declares (paper, section 3.2)."""

from fedfactory.methods.ours.parameters import OursParameters
from fedfactory.orchestration.declared import CHOOSE, Method, Rule
from fedfactory.orchestration.labels import Labels


def _source_batches(p: OursParameters) -> float:
    """A method with a ``base`` trains no source branch."""
    return p.source.batch / 8 if p.source else 0.0


def _target_batches(p: OursParameters) -> float:
    batch = p.target.batch
    return (batch.source + batch.labelled + batch.unlabelled + batch.pairs) / 4


def _labels(p: OursParameters) -> Labels:
    return Labels(few_shot=p.target.labelled_slices, validation=p.target.validation == "full")


DECLARATION = Method(
    name="ours",
    title="Ours: a source branch, a synthetic source set, and asynchronous adaptation of each target",
    rules=(
        Rule(
            "source_branch",
            lets_out="encoder and segmentation branch of the source",
            steps=lambda p, clients: p.source.schedule.steps,
        ),
        Rule("synthetic_source", lets_out="synthetic volumes of the factory, labelled by the source branch"),
        Rule("factory_look", private=("look",), steps=lambda p, clients: p.look.steps),
        Rule("adapt", steps=lambda p, clients: p.target.schedule.steps),
        CHOOSE,
        Rule("adapt_predict", private=("predictions",)),
    ),
    parameters="fedfactory.methods.ours.parameters:OursParameters",
    cells="fedfactory.methods.ours.cells:OursCells",
    labels=_labels,
    choose="fedfactory.methods.ours.prediction:choose",
    segmenter="fedfactory.methods.ours.prediction:segmenter",
    also="fedfactory.methods.ours.prediction:describe",
    refers=("base",),
    peaks={"source, the paper's batch": _source_batches, "target, inter, the paper's batch": _target_batches},
)
