"""Encoder and frozen factory as one network: reconstruct an image, or translate it into the other domain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from fedfactory.factory.layers import magnify
from fedfactory.factory.networks import Generator
from fedfactory.methods.ours.encoder import Encoder, Encoding
from fedfactory.methods.ours.parameters import EncoderNetworkParameters


@dataclass(frozen=True)
class Rendering:
    """What the factory makes of an encoding.

    Attributes:
        image: (batch, 1, size, size), about in [-1, 1].
        maps: what the segmentation branches read: the factory's feature maps, then the encoder's content features, all
            in the image's field of view.
    """

    image: Tensor
    maps: list[Tensor]


class Translator(nn.Module):
    """Encoder E, and the factory's generator F, whose weights never change.

    All images lie in one field of view, the source's (:mod:`fedfactory.methods.ours.field_of_view`).

    Args:
        generator: F.
        p: architecture of the encoder.
        means: mean styles of both domains, (2, n_styles, latent).
        zoom: logarithm of the source's magnification; 0 where the factory has none.
        silence: noise that is none, for every styled convolution: the same image gives the same mask. None without.
    """

    def __init__(
        self,
        generator: Generator,
        p: EncoderNetworkParameters,
        means: Tensor,
        zoom: float,
        silence: Sequence[Tensor] | None,
    ):
        super().__init__()
        convs: Any = generator.convs
        widths = [conv.bias.shape[0] for conv in convs]
        self.means: Tensor
        edges = _edges(generator)
        channels = {edge: width for edge, width in zip(edges, widths, strict=True) if edge >= p.inject_from}
        self.encoder = Encoder(p, generator.n_styles, generator.latent, channels)
        self.register_buffer("means", means)
        self.map_channels = (*widths, *self.encoder.content_channels)
        self.size = generator.resolutions[-1]
        # Not a submodule: F's weights belong to the factory and are not stored again.
        self._generator = (generator,)
        self._zoom = zoom if generator.zoom is not None else None
        self._silence = silence
        # The first convolution of each resolution.
        self._entries = {i: edge for i, edge in enumerate(edges) if i == 0 or edges[i - 1] != edge}

    def encode(self, images: Tensor, domain: int) -> Encoding:
        """Encode images (batch, 1, size, size) that look like one domain."""
        return self.encoder(images, [(domain, len(images))])

    def decode(self, encoding: Encoding, label: int | Tensor, ramp: float = 1.0) -> Rendering:
        """Render an encoding with the label of a domain: of its own to reconstruct, of the other one to translate.

        Args:
            encoding: of images.
            label: domain of the result, one for all or int64 (batch,).
            ramp: share of the content features, from 0 (latents alone) to 1.
        """
        generator = self._generator[0]
        styles = self.means[label] + encoding.latents * self.encoder.label[label][..., None, :]
        zoom = self._zoom

        def edit(i: int, x: Tensor) -> Tensor:
            edge = self._entries.get(i)
            if edge not in self.encoder.injected or ramp == 0:
                return x
            if zoom is None or i >= generator.shared_styles:
                return self.encoder.inject(edge, x, encoding, ramp)
            # Layers before the factory's magnification see the content in the shared field of view.
            shared = {edge: magnify(encoding.content[edge], -zoom)}
            return self.encoder.inject(edge, x, Encoding(encoding.latents, shared), ramp)

        image, maps = generator.synthesise(styles, self._silence, features=True, edit=edit, zoom=zoom)
        if zoom is not None:
            early = generator.shared_styles
            maps = [magnify(x, zoom) for x in maps[:early]] + maps[early:]
        return Rendering(image, [*maps, *encoding.content.values()])


def _edges(generator: Generator) -> list[int]:
    """Edge of the maps of each styled convolution."""
    return [4, *(edge for edge in generator.resolutions[1:] for _ in range(2))]
