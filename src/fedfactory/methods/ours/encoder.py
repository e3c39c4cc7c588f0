"""The encoder E: from an image to latents of W+ and to content features for the factory's feature maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedfactory.methods.ours.parameters import EncoderNetworkParameters
from fedfactory.methods.ours.pointwise import Pointwise

SOURCE, TARGET = 0, 1
DOMAINS = ("source", "target")
"""Names of both domains, by their labels."""
BRANCHES = {"both": (SOURCE, TARGET), "source": (SOURCE,), "target": (TARGET,)}
"""Ways to read the networks at inference: which domains' branches are averaged."""

Runs = Sequence[tuple[int, int]]
"""Of a batch, in its order: a domain, and how many images of it follow."""

_GRID = 3
_POOLED_STAGES = 4
_SLOPE = 0.25
# Masks start open: a closed one has no gradient.
_FIRST_MASK = 0.5


class DomainNorm(nn.Module):
    """Batch normalisation with a set of weights and statistics of its own for each domain (Chang et al., CVPR 2019).

    Args:
        channels: of the feature maps.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.domains = nn.ModuleList(nn.BatchNorm2d(channels) for _ in (SOURCE, TARGET))

    def forward(self, x: Tensor, runs: Runs) -> Tensor:
        """Normalise maps (batch, channels, height, width), each domain's as a batch of its own."""
        if len(runs) == 1:
            return self.domains[runs[0][0]](x)
        parts = x.split([count for _, count in runs])
        return torch.cat([self.domains[domain](part) for (domain, _), part in zip(runs, parts, strict=True)])


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside a skip connection (improved form: He et al., ECCV 2016).

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        stride: 2 halves the image.
    """

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.norm = DomainNorm(inputs)
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, stride, padding=1, bias=False)
        self.last_norm = DomainNorm(outputs)
        self.stride = stride
        self.skip = Pointwise(inputs, outputs, bias=False) if inputs != outputs else None

    def forward(self, x: Tensor, runs: Runs) -> Tensor:
        """Map (batch, inputs, height, width) to (batch, outputs, height / stride, width / stride)."""
        y = F.leaky_relu_(self.first(self.norm(x, runs)), _SLOPE)
        y = self.last_norm(self.second(y), runs)
        x = F.avg_pool2d(x, self.stride) if self.stride > 1 else x
        return y + (x if self.skip is None else self.skip(x))


class ContentGate(nn.Module):
    """Gated skip connection that lets content features replace part of a feature map of the factory.

    Args:
        features: channels of the encoder's features.
        maps: channels of the factory's maps.
    """

    def __init__(self, features: int, maps: int):
        super().__init__()
        self.project = Pointwise(features, maps)
        self.gates = nn.Conv2d(2 * maps, 2 * maps, 3, padding=1)
        self.candidate = nn.Conv2d(2 * maps, maps, 3, padding=1)
        assert self.gates.bias is not None
        nn.init.constant_(self.gates.bias[maps:], _FIRST_MASK)

    def forward(self, x: Tensor, features: Tensor, ramp: float) -> Tensor:
        """Blend content into maps.

        Args:
            x: maps of the factory, (batch, maps, height, width).
            features: of the encoder, (batch, features, height, width).
            ramp: from 0 (x as it is, exactly) to 1.

        Returns:
            x (1 - ramp mask) + ramp mask candidate; the mask, relu(tanh), lies in [0, 1).
        """
        if ramp == 0:
            return x
        content = self.project(features)
        reset, mask = self.gates(torch.cat([content, x], 1)).chunk(2, 1)
        candidate = self.candidate(torch.cat([content, torch.sigmoid(reset) * x], 1))
        return torch.lerp(x, candidate, F.relu(torch.tanh(mask)) * ramp)


@dataclass(frozen=True)
class Encoding:
    """What the encoder says about a batch of images.

    Attributes:
        latents: (batch, n_styles, latent), relative to a domain's mean.
        content: edge of the maps -> features (batch, channels, edge, edge).
    """

    latents: Tensor
    content: dict[int, Tensor]


class Encoder(nn.Module):
    """Residual encoder with domain-specific batch normalisation.

    Args:
        p: the architecture.
        n_styles: style inputs of the factory.
        latent: length of a style vector.
        channels: channels of the factory's maps by resolution.

    Attributes:
        injected: resolutions at which content enters the factory: those that encoder and factory have in common.
        content_channels: channels of the content features, from the largest edge to the smallest.
    """

    def __init__(self, p: EncoderNetworkParameters, n_styles: int, latent: int, channels: dict[int, int]):
        super().__init__()
        self.size, self.n_styles, self.latent = p.image_size, n_styles, latent
        self.stem = nn.Conv2d(1, p.channels[0], 3, padding=1)
        # The skip connections carry what leaves the stem: here a domain may turn dark into bright.
        self.stem_norm = DomainNorm(p.channels[0])
        widths = [p.channels[0], *p.channels]
        self.stages = nn.ModuleList(
            nn.ModuleList(
                ResidualBlock(before if block == 0 else after, after, 2 if block == 0 and stage else 1)
                for block in range(count)
            )
            for stage, (before, after, count) in enumerate(zip(widths, p.channels, p.blocks, strict=False))
        )
        edges = [p.image_size >> stage for stage in range(len(p.channels))]
        pooled = sum(p.channels[-_POOLED_STAGES:]) * _GRID**2
        self.to_latents = nn.Linear(pooled, n_styles * latent)
        # Starts at a domain's mean latent.
        nn.init.zeros_(self.to_latents.bias)
        nn.init.normal_(self.to_latents.weight, std=0.1 / pooled**0.5)
        self.label = nn.Parameter(torch.ones(2, latent))
        self.gates = nn.ModuleDict(
            {
                str(edge): ContentGate(width, channels[edge])
                for edge, width in zip(edges, p.channels, strict=True)
                if edge in channels
            }
        )
        self.injected = tuple(int(edge) for edge in self.gates)
        self.content_channels = p.channels

    def forward(self, images: Tensor, runs: Runs) -> Encoding:
        """Encode images (batch, 1, size, size), each of which looks like its domain.

        Only normalisation sees the domains one by one: a batch of both costs hardly more operations than one of either.
        """
        # Channels last: twice as fast on a CPU, and what the factory's layers read.
        x = self.stem_norm(self.stem(images.contiguous(memory_format=torch.channels_last)), runs)
        content, pooled = {}, []
        stages: Any = self.stages
        for number, stage in enumerate(stages):
            for block in stage:
                x = block(x, runs)
            content[x.shape[-1]] = x
            if number >= len(self.stages) - _POOLED_STAGES:
                pooled.append(F.adaptive_avg_pool2d(x, _GRID).flatten(1))
        return Encoding(self.to_latents(torch.cat(pooled, 1)).unflatten(1, (self.n_styles, self.latent)), content)

    def start_target_as_source(self) -> None:
        """Give the target the source's label, and the weights and statistics of its normalisation."""
        with torch.no_grad():
            self.label[TARGET] = self.label[SOURCE]
        for module in self.modules():
            if isinstance(module, DomainNorm):
                module.domains[TARGET].load_state_dict(module.domains[SOURCE].state_dict())

    def inject(self, edge: int, x: Tensor, encoding: Encoding, ramp: float) -> Tensor:
        """Blend an encoding's content into a factory's maps (batch, channels, edge, edge)."""
        return self.gates[str(edge)](x, encoding.content[edge], ramp)
