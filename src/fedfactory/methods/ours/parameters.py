"""Parameters of the source branch and of the adaptation, as a method's entry in the configuration gives them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from fedfactory.config.parameters import STRICT, Count, Natural, Positive, Schedule, Share, Weight
from fedfactory.config.sentences import Misfit
from fedfactory.methods.ours.perceptual import PerceptualParameters


@dataclass(frozen=True)
class EncoderNetworkParameters:
    """Architecture of the encoder E.

    Attributes:
        image_size: edge of the images that it reads.
        channels: channels of its stages; the first keeps the image's edge, every other one halves it. At least four.
        blocks: residual blocks of each stage; 0 for a first stage of the stem alone.
        inject_from: smallest resolution of the factory's maps that content features may replace.
    """

    __pydantic_config__ = STRICT
    image_size: Count
    channels: tuple[Count, ...]
    blocks: tuple[Natural, ...]
    inject_from: Count

    def __post_init__(self) -> None:
        """Check what one value demands of another."""
        if len(self.channels) < 4 or len(self.channels) != len(self.blocks):
            raise Misfit("channels", "give at least four stages, and one entry of 'blocks' for each")
        if 0 in self.blocks[1:]:
            raise Misfit("blocks", "only the first stage may have none")
        halvings = len(self.channels) - 1
        if not self.image_size < 4096 or self.image_size % (1 << halvings):
            raise Misfit("image_size", f"{self.image_size} cannot be halved {halvings} times; change it")


@dataclass(frozen=True)
class Weights:
    """Weights of the losses.

    Attributes:
        mse: mean squared error of reconstructions.
        lpips: their LPIPS.
        dice: soft Dice of masks.
        cross_entropy: their cross-entropy.
        cycle: factor of the reconstruction losses of the inter-domain steps' way back.
    """

    __pydantic_config__ = STRICT
    mse: Weight
    lpips: Weight
    dice: Weight
    cross_entropy: Weight
    cycle: Weight = 1.0


@dataclass(frozen=True, kw_only=True)
class AdaptationSchedule(Schedule):
    """Length and rates of a training of encoder and branch.

    Attributes:
        encoder_rate: learning rate of the encoder (rectified Adam).
        beta2: decay of the second moment of the encoder's optimiser, whose warm-up lasts about 2 / (1 - beta2) steps.
        branch_rate: learning rate of the segmentation branch (Adam).
        ramp: share of the steps over which content features fade in.
    """

    __pydantic_config__ = STRICT
    encoder_rate: Positive
    beta2: Annotated[float, Field(gt=0, lt=1)]
    branch_rate: Positive
    ramp: Share


@dataclass(frozen=True)
class SyntheticParameters:
    """The synthetic source set.

    Attributes:
        volumes: how many; each has a z of its own.
        between: slices from one position bin to the next (10 in the paper's code).
        tolerance: a slice is dropped if it is reconstructed worse, or segmented with more doubt, than this many times
            the worst of the source's own validation slices; null keeps all.
    """

    __pydantic_config__ = STRICT
    volumes: Count
    between: Count
    tolerance: Positive | None


@dataclass(frozen=True)
class LookParameters:
    """How a client outside the federation learns its look.

    Attributes:
        images: largest number of its training slices, evenly picked, each with a z of its own.
        batch: images of a step.
        steps: optimiser steps (Adam).
        latent_rate: learning rate of the z.
        rate: learning rate of the look.
        lpips: weight of LPIPS beside the mean squared error.
    """

    __pydantic_config__ = STRICT
    images: Count
    batch: Count
    steps: Count
    latent_rate: Positive
    rate: Positive
    lpips: Weight


@dataclass(frozen=True)
class SourceParameters:
    """The source branch: encoder E_s and branch S_s.

    Attributes:
        factory: which generator is frozen: the ``trained`` one, or for a control the ``untrained`` one that its
            training started from.
        encoder: architecture of E.
        hidden: channels of the hidden layers of S.
        batch: images of a step.
        copies: how often each training slice occurs, as it is and deformed; 1 for the slices alone.
        jitter: strength of random contrast, brightness and noise.
        schedule: length and rates.
        weights: weights of the losses.
        perceptual: LPIPS in use.
    """

    __pydantic_config__ = STRICT
    factory: Literal["trained", "untrained"]
    encoder: EncoderNetworkParameters
    hidden: tuple[Count, Count]
    batch: Count
    copies: Count
    jitter: Share
    schedule: AdaptationSchedule
    weights: Weights
    perceptual: PerceptualParameters


@dataclass(frozen=True)
class BatchParameters:
    """Images of an adaptation step.

    Attributes:
        source: synthetic source images.
        labelled: slices of M_t.
        unlabelled: other training images of the target.
        pairs: factory pairs; each is one z and position rendered as both domains.
    """

    __pydantic_config__ = STRICT
    source: Count
    labelled: Natural
    unlabelled: Natural
    pairs: Natural = 0


@dataclass(frozen=True)
class TargetParameters:
    """The adaptation of a target.

    Attributes:
        start: what E_t and S_t start from: the ``source`` branch's weights, or ``scratch``.
        batch: images of a step.
        copies: how often each slice of M_t occurs, as it is and deformed; 1 for the slices alone.
        jitter: strength of random contrast, brightness and noise.
        symmetries: what all images of a step are moved by: ``none``, left-right or not (``mirror``), or one of the
            eight of the ``square``; a prediction is the mean over both, or over the square's quarter turns.
        schedule: length and rates.
        weights: weights of the losses.
        field_of_view: what brings the target's slices to the source's scale: nothing (``as_is``, paper), or the
            magnification that the ``factory`` learned.
        branch_trains_encoder: whether the loss of S_t reaches E_t (the paper's equation), or S_t learns on detached
            features (the authors' code).
        labelled_slices: how many slices of M_t are used; null for all.
        validation: ``full``: Dice on the target's labelled validation volumes selects the state (paper); ``none``: the
            last one is taken, as in the strict protocol.
        end: what the adaptation ends as where no validation volume chooses: the ``last`` state (paper), or by the Dice
            of M_t the ``best`` of three: that state, the same with statistics of the target's own images in its
            normalisation, and what the adaptation started from.
        left_out_from: Dice of M_t by the start, which has not seen it, from which on ``best`` compares the start with
            trainings that have not seen the slice either: one more for each slice, without it; null for never.
        source_samples: ``synthetic`` (paper), or for a control ``real``: the source's own images and labels.
        branches: whose prediction counts at inference: the mean of ``both`` (paper), one for an ablation, or whichever
            of these is ``best``: by validation Dice, and without validation both, unless S_t alone reads M_t better.
    """

    __pydantic_config__ = STRICT
    start: Literal["source", "scratch"]
    batch: BatchParameters
    copies: Count
    jitter: Share
    schedule: AdaptationSchedule
    weights: Weights
    field_of_view: Literal["as_is", "factory"]
    branch_trains_encoder: bool
    validation: Literal["full", "none"]
    symmetries: Literal["none", "mirror", "square"] = "none"
    labelled_slices: Natural | None = None
    end: Literal["last", "best"] = "last"
    left_out_from: Share | None = None
    source_samples: Literal["synthetic", "real"] = "synthetic"
    branches: Literal["both", "target", "source", "best"] = "both"


@dataclass(frozen=True)
class OursParameters:
    """An adaptation method.

    Attributes:
        target: the adaptation of every target.
        source: its own source branch; null if it uses that of ``base``.
        synthetic: the synthetic source set that comes with the source branch.
        look: how targets outside the federation find their look for it.
        base: the method whose source branch it uses.
    """

    __pydantic_config__ = STRICT
    target: TargetParameters
    source: SourceParameters | None = None
    synthetic: SyntheticParameters | None = None
    look: LookParameters | None = None
    base: str | None = None

    def __post_init__(self) -> None:
        """Check what one value demands of another."""
        if (self.source is None) == (self.base is None):
            raise Misfit("", "give either 'source' (a source branch of its own) or 'base' (whose it uses)")
        for name in ("synthetic", "look"):
            if (getattr(self, name) is None) != (self.source is None):
                raise Misfit(name, "belongs to a source branch of its own, and every such has it")
        self._check_target()

    def _check_target(self) -> None:
        target, batch = self.target, self.target.batch
        if target.source_samples == "real" and batch.pairs:
            raise Misfit("target.batch.pairs", "must be 0 with real source samples, which have no z")
        if not (batch.labelled or batch.unlabelled or batch.pairs):
            raise Misfit("target.batch", "holds no image of the target; give 'unlabelled' or 'pairs'")
        if (target.labelled_slices == 0) != (batch.labelled == 0):
            raise Misfit(
                "target.batch.labelled",
                "every batch holds at least one slice of M_t, and none where 'labelled_slices' is 0",
            )
