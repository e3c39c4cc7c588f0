"""What is needed to build the networks that stored weights belong to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from fedfactory.adaptation.branch import SegmentationBranch
from fedfactory.adaptation.parameters import EncoderNetworkParameters
from fedfactory.adaptation.translator import Translator
from fedfactory.factory.model import Factory


@dataclass(frozen=True)
class Architecture:
    """What the weights belong to.

    Attributes:
        encoder: of the encoder.
        hidden: channels of the branches' hidden layers.
        classes: names of the foreground classes.
        variant: which generator of the factory, ``trained`` or ``untrained``.
        factory: digest of its weights.
        zoom: logarithm of the source's magnification in that factory.
    """

    encoder: EncoderNetworkParameters
    hidden: tuple[int, ...]
    classes: tuple[str, ...]
    variant: Literal["trained", "untrained"]
    factory: str
    zoom: float

    def networks(self, factory: Factory, seed: int = 0) -> tuple[Translator, SegmentationBranch]:
        """An encoder (with F) and a branch as they are drawn; torch's global generator stays as it was."""
        generator = factory.generator
        means = torch.zeros(2, generator.n_styles, generator.latent)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            translator = Translator(generator, self.encoder, means, self.zoom)
            branch = SegmentationBranch(translator.map_channels, self.hidden, len(self.classes))
        form = {"device": factory.device, "memory_format": torch.channels_last}
        return translator.to(**form), branch.to(**form)
