"""Parameters of a self-training, as a method's entry in the configuration gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fedfactory.config.parameters import STRICT, Count, Natural, Part, Positive, Schedule, Share, Text, Weight
from fedfactory.config.sentences import Misfit


@dataclass(frozen=True)
class StepSlices:
    """Slices of a step.

    Attributes:
        labelled: of M_t, deformed copies among them; 0 for none.
        unlabelled: of the target's training volumes.
    """

    __pydantic_config__ = STRICT
    labelled: Natural
    unlabelled: Count


@dataclass(frozen=True, kw_only=True)
class TermWeights:
    """Weights of the terms of the loss; a term without weight is not computed.

    Attributes:
        labelled: soft Dice and cross-entropy of M_t.
        consistency: mean squared difference to the teacher's probabilities.
        pseudo_labels: cross-entropy with the teacher's labels, where the teacher is sure.
        entropy: of the prediction of each pixel.
        diversity: entropy of the mean prediction, which is to be large.
    """

    __pydantic_config__ = STRICT
    labelled: Weight = 0.0
    consistency: Weight = 0.0
    pseudo_labels: Weight = 0.0
    entropy: Weight = 0.0
    diversity: Weight = 0.0


@dataclass(frozen=True)
class SelfTrainingParameters:
    """A self-training of the source's nnU-Net at a target.

    Attributes:
        base: name of the nnU-Net row whose source model it starts from.
        trained: which parameters learn: ``all``; ``features``, all but the head; or ``affine``, scales and shifts of
            normalisation.
        batch: slices of a step.
        copies: how often each slice of M_t occurs, as it is and deformed.
        jitter: strength of random contrast, brightness and noise of what the student reads; the teacher reads images as
            they are.
        learning_rate: of Adam.
        weights: of the terms of the loss.
        confidence: least probability of a teacher's label that counts.
        ramp: share of the steps over which terms without labels fade in, by exp(-5 (1 - t)^2) as published.
        schedule: length; the average of the weights (``ema``) is the teacher, and what is kept.
    """

    __pydantic_config__ = STRICT
    base: Text
    trained: Literal["all", "features", "affine"]
    batch: StepSlices
    learning_rate: Positive
    weights: TermWeights
    schedule: Schedule
    copies: Count = 1
    jitter: Share = 0.0
    confidence: Part = 0.0
    ramp: Share = 0.0

    def __post_init__(self) -> None:
        """Check what one value demands of another."""
        w = self.weights
        if (w.labelled > 0) != (self.batch.labelled > 0):
            raise Misfit("batch.labelled", "slices of M_t go with a weight 'weights.labelled', and it with them")
        if not (w.consistency or w.pseudo_labels or w.entropy or w.diversity):
            raise Misfit("weights", "give a term without labels a weight: M_t alone is the row +TL")
