"""What ours declares (paper, section 3.2)."""

from fedfactory.methods.ours.parameters import OursParameters
from fedfactory.orchestration.declared import CHOOSE, Card, Method, Rule
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
        Rule("source_privacy", lets_out="figures of what branch and synthetic set give away, if they are asked for"),
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
    card=Card(
        papers=("Federated Multi-Centric Image Segmentation with Uneven Label Distribution, MICCAI 2024.",),
        code="none is published",
        rests_on=("factory_train",),
        normalisation="statistics of features at the source and at the target, learned apart; the factory's weights "
        "travel in every round, the source's branch once",
        failures="Where the source's network reads the target already (CHASEDB1, Fluo 2), three slices can make it "
        "worse. On real vessels a trained factory is not shown to be worth its bytes. The extension moves with the "
        "training seed on Bright (docs/real.md).",
    ),
)
