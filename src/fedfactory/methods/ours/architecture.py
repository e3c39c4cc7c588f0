"""What is needed to build the networks that stored weights belong to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

from fedfactory.factory.model import Factory
from fedfactory.methods.ours.branch import SegmentationBranch
from fedfactory.methods.ours.parameters import EncoderNetworkParameters
from fedfactory.methods.ours.translator import Translator


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

    def translator(self, factory: Factory) -> Translator:
        """An encoder as torch's global generator draws it, and the factory."""
        generator = factory.generator
        means = torch.zeros(2, generator.n_styles, generator.latent)
        translator = Translator(generator, self.encoder, means, self.zoom, factory.silence())
        return _channels_last(translator, factory.device)

    def branch(self, translator: Translator) -> SegmentationBranch:
        """A branch as torch's global generator draws it."""
        branch = SegmentationBranch(translator.map_channels, self.hidden, len(self.classes))
        return _channels_last(branch, translator.means.device)

    def networks(self, factory: Factory, seed: int) -> tuple[Translator, SegmentationBranch]:
        """Both, drawn from a seed; the global generator stays as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            translator = self.translator(factory)
            return translator, self.branch(translator)


def _channels_last(network: Any, device: Any) -> Any:
    """The network on a device, its weights as the factory's layers read images."""
    return network.to(device=device, memory_format=torch.channels_last)
