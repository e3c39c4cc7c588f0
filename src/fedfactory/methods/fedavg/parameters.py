"""Parameters of federated averaging."""

from __future__ import annotations

from dataclasses import dataclass

from fedfactory.config.parameters import STRICT, Part, Positive, Share, Weight
from fedfactory.federation.aggregation import Rule
from fedfactory.methods.federated.parameters import SegmentationParameters


@dataclass(frozen=True)
class UnlabelledParameters:
    """How clients without labels take part: each has a mean teacher.

    Attributes:
        learning_rate: of such a client. Its loss has one term, the mean squared difference to the teacher's
            probabilities, and Adam takes no notice of how a single term is weighted.
        teacher: decay of the teacher's weights in a step; it stays with its client.
        jitter: strength of random contrast, brightness and noise of what the student reads.
        ramp: share of the rounds over which that rate is reached, by exp(-5 (1 - t)^2).
    """

    __pydantic_config__ = STRICT
    learning_rate: Positive
    teacher: Part
    jitter: Share
    ramp: Share


@dataclass(frozen=True, kw_only=True)
class FedAvgParameters(SegmentationParameters):
    """Federated averaging.

    Attributes:
        proximal: weight of half the squared distance of a client's weights to those that a round began with (FedProx);
            0 for plain averaging.
        unlabelled: how the targets of the federation take part where the source alone has labels; null where all
            clients train on all their labels, which is a bound.
        own_normalisation: whether every client keeps the scale and shift of its instance normalisation for itself
            (FedBN), and its cells are predicted with them; otherwise they are averaged like all other weights.
        aggregation: how the models of a round become one: their ``mean``, or, of three clients or more, the ``median``
            or the ``trimmed_mean`` of each value.
    """

    __pydantic_config__ = STRICT
    proximal: Weight = 0.0
    unlabelled: UnlabelledParameters | None = None
    own_normalisation: bool = False
    aggregation: Rule = "mean"
