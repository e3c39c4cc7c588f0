"""Parameters of the rows SAM and MedSAM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from fedfactory.config.parameters import STRICT, Count, Natural, Positive, Schedule
from fedfactory.config.sentences import Misfit
from fedfactory.methods.foundation.parameters import PretrainingParameters
from fedfactory.storage.weights_choice import TINY

ORACLE: Final = "oracle_box"
"""A box around each class in the truth, at test time too: an upper bound, which Table 1 refuses."""
Prompt = Literal["full_box", "none", "grid", "oracle_box"]
"""Prompts; all but the last know nothing of the truth."""
Normalisation = Literal["imagenet", "unit"]
"""What an encoder reads: grey values by ImageNet's mean and deviation (SAM), or between 0 and 1 (MedSAM)."""


@dataclass(frozen=True)
class SamArchitecture:
    """Size of the network; the published ViT-B is :data:`VIT_B`.

    Attributes:
        image_size: edge of the images that it reads.
        patch: edge of a patch.
        width: channels of the image encoder.
        depth: blocks of the image encoder.
        heads: heads of its attention; they divide ``width``.
        global_blocks: blocks that attend to the whole image; the others to windows.
        window: edge of a window in patches; 0 for none.
        prompt_width: channels of embeddings and decoder; a multiple of 16.
        decoder_mlp: hidden channels of the decoder's transformer.
    """

    __pydantic_config__ = STRICT
    image_size: Count
    patch: Count
    width: Count
    depth: Count
    heads: Count
    global_blocks: tuple[Natural, ...]
    window: Natural
    prompt_width: Count
    decoder_mlp: Count

    def __post_init__(self) -> None:
        """Check what one value demands of another."""
        if self.image_size % self.patch:
            raise Misfit("patch", f"{self.patch} does not divide {self.image_size} pixels")
        if self.width % self.heads or self.prompt_width % 16:
            raise Misfit("", "'heads' must divide 'width', and 16 'prompt_width'")
        if beyond := [number for number in self.global_blocks if number >= self.depth]:
            raise Misfit("global_blocks", f"block {beyond[0]} is not among {self.depth}, counted from 0")


VIT_B = SamArchitecture(1024, 16, 768, 12, 12, (2, 5, 8, 11), 14, 256, 2048)


@dataclass(frozen=True)
class TuningParameters:
    """Fine-tuning of the mask decoder on M_t; the image encoder stays as it is.

    Attributes:
        copies: how often each slice of M_t occurs, as it is and deformed.
        batch: images of a step.
        learning_rate: learning rate (Adam).
        schedule: length and decay.
        validation: ``full``: Dice on the target's labelled validation volumes selects the state; ``none``: the last,
            as in the strict protocol.
    """

    __pydantic_config__ = STRICT
    copies: Count
    batch: Count
    learning_rate: Positive
    schedule: Schedule
    validation: Literal["full", "none"]


@dataclass(frozen=True)
class SamParameters:
    """A row of SAM's kind.

    Attributes:
        weights: name of a file in config/weights.yaml, or ``procedural-tiny`` for a model that the workflow pre-trains.
        prompt: in training and at test time alike: a box around the whole image (``full_box``), ``none``, a ``grid`` of
            points all over it, or ``oracle_box`` (of the truth, not in Table 1).
        tuning: fine-tuning of the mask decoder.
        normalisation: of the images, as in the training of the weights: by ImageNet's mean and deviation (``imagenet``,
            SAM), or each slice to 0 to 1 by its darkest and its brightest pixel (``unit``, MedSAM). Published weights
            need it said; null is ``imagenet``.
        architecture: size of a model that the workflow pre-trains; published weights have their own.
        pretraining: pre-training of such a model.
        start: the method whose pre-trained model it goes on from, as MedSAM does from SAM.
    """

    __pydantic_config__ = STRICT
    weights: str
    prompt: Prompt
    tuning: TuningParameters
    normalisation: Normalisation | None = None
    architecture: SamArchitecture | None = None
    pretraining: PretrainingParameters | None = None
    start: str | None = None

    def __post_init__(self) -> None:
        """Check what belongs to published weights, and what to a model that the workflow pre-trains."""
        tiny = self.weights == TINY
        if (self.pretraining is not None) != tiny:
            raise Misfit("pretraining", f"belongs to 'weights: {TINY}', and to nothing else")
        if not tiny and self.normalisation is None:
            raise Misfit(
                "normalisation",
                "is missing: published weights read what they were trained on, 'imagenet' (SAM) or 'unit' (MedSAM)",
            )
        if ((self.architecture is None) == (self.start is None)) if tiny else (self.architecture or self.start):
            raise Misfit(
                "",
                f"with 'weights: {TINY}' give either 'architecture' or 'start' (whose model to go on from); published "
                "weights have neither",
            )

    @property
    def reads(self) -> Normalisation:
        """What the image encoder reads."""
        return self.normalisation or "imagenet"
