"""LPIPS by the learned heads of the package ``lpips``, on the network that is given."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lpips
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedfactory.errors import FedFactoryError
from fedfactory.factory.encoder_networks import Encoder, SqueezeNet
from fedfactory.methods.ours.pointwise import with_pointwise
from fedfactory.storage.state_dicts import read_state_dict

# The smallest edge of which every network here leaves a pixel at its last tap.
_SMALLEST = 32


class Perceptual(nn.Module):
    """Learned perceptual distance of images, frozen; in training mode it is the same.

    Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018, equation 1:
    features of every tap are normalised to unit length at each pixel, and their squared differences are weighted per
    channel by a learned head, averaged over the pixels and summed over the taps.

    Args:
        trunk: maps prepared images (B, 3, H, W) to the feature maps of its taps, each (B, C, h, w).
        heads: weight of every channel, (C,) >= 0, one tensor per tap.
        mean: per colour in the order of the trunk, subtracted from images in [-1, 1].
        deviation: per colour, divided by.
        name: what every output calls it.
        digest: SHA-256 of the trunk's weights, or the seed they were drawn from.
    """

    def __init__(
        self, trunk: nn.Module, heads: Sequence[Tensor], mean: Tensor, deviation: Tensor, name: str, digest: str
    ):
        super().__init__()
        self.trunk, self.name, self.digest = with_pointwise(trunk), name, digest
        # No dropout as in lpips, where it is there to train the heads.
        self.heads = nn.ParameterList(head.detach().clone() for head in heads)
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", mean.reshape(3, 1, 1).clone(), persistent=False)
        self.register_buffer("deviation", deviation.reshape(3, 1, 1).clone(), persistent=False)
        self.requires_grad_(False).eval()

    def taps(self, images: Tensor) -> Sequence[Tensor]:
        """Feature maps (B, C, h, w) of grey images (B, 1, H, W) in [-1, 1], not normalised."""
        prepared = (images - self.mean) / self.deviation
        # A CPU is faster with channels last; what a GPU would say of that has not been measured.
        last = images.device.type == "cpu"
        return self.trunk(prepared.contiguous(memory_format=torch.channels_last) if last else prepared)

    def forward(self, images: Tensor, targets: Tensor) -> Tensor:
        """Mean distance over a batch.

        Args:
            images: (B, 1, H, W) float32 in about [-1, 1] (nothing is clipped, a gradient stays), H and W of 32 or more.
            targets: the same shape; constants, no gradient reaches them.

        Returns:
            Scalar >= 0, exactly 0 for equal images; differentiable with respect to the images. On a CPU it and its
            gradient are the same in every run.

        Raises:
            ValueError: the shapes differ, or are none of grey images that are large enough.
        """
        fits = images.ndim == 4 and images.shape[1] == 1 and min(images.shape[2:]) >= _SMALLEST
        if not fits or images.shape != targets.shape:
            raise ValueError(
                f"images {tuple(images.shape)} and targets {tuple(targets.shape)} must both be (B, 1, H, W) with H and "
                f"W of at least {_SMALLEST}"
            )
        with torch.no_grad():
            wanted = [_unit_vectors(features) for features in self.taps(targets)]
        distance: Any = sum(
            F.linear((_unit_vectors(features) - constant).square(), head[None]).mean()
            for features, constant, head in zip(self.taps(images), wanted, self.heads, strict=True)
        )
        return distance


def _unit_vectors(features: Tensor) -> Tensor:
    """The features of every pixel, (B, C, H, W), as vectors of length one, (B H W, C): how channels-last maps lie."""
    return lpips.normalize_tensor(features.permute(0, 2, 3, 1).flatten(0, 2))


def alexnet(file: Path, name: str, digest: str) -> Perceptual:
    """Build LPIPS on AlexNet from torchvision's file of its weights.

    Args:
        file: state dict saved by torch, of the whole AlexNet or of its ``features``.
        name: of the loss.
        digest: of the file.

    Raises:
        FedFactoryError: the file cannot be read without executing code, holds no table of weights, or another
            network's.
    """
    key, advice = "perceptual.checkpoint", "take torchvision's file"
    weights = read_state_dict(file, "cpu", key, advice)
    metric = _lpips("alex")
    # lpips keeps torchvision's numbers of the layers: slice2.3.weight is features.3.weight.
    sources = {own: f"features.{own.split('.', 1)[1]}" for own in metric.net.state_dict()}
    try:
        metric.net.load_state_dict({own: weights[source] for own, source in sources.items() if source in weights})
    except RuntimeError:
        raise FedFactoryError(f"key '{key}': {file} does not hold torchvision's AlexNet; {advice}") from None
    return _perceptual(metric, name, digest)


def random_squeezenet(seed: int, name: str) -> Perceptual:
    """Build LPIPS's heads on a SqueezeNet 1.1 of random weights; not a perceptual metric.

    Args:
        seed: of the weights.
        name: of the loss.
    """
    return _perceptual(_lpips("squeeze", seed), name, f"seed {seed}")


def squeezenet_of(encoder: Encoder, name: str) -> Perceptual:
    """Build LPIPS's heads on the trained SqueezeNet 1.1 of the key's stand-in encoder.

    Args:
        encoder: whose network is a ``SqueezeNet``.
        name: of the loss.
    """
    # (x + 1) scale / 2 - mean, divided by the deviation, written with a mean and a deviation for x in [-1, 1].
    mean, deviation = 2 * encoder.mean / encoder.scale - 1, 2 * encoder.deviation / encoder.scale
    network: Any = encoder.network
    trunk = _SqueezeNetTaps(network)
    return Perceptual(trunk, _heads(_lpips("squeeze")), mean, deviation, name, encoder.digest)


class _SqueezeNetTaps(nn.Module):
    """Where LPIPS taps SqueezeNet 1.1: the first convolution, the fires 3 and 5 (the last of a size), then every fire.

    As ``lpips.pretrained_networks.squeezenet``, with the paddings of ``SqueezeNet.features``.
    """

    def __init__(self, network: SqueezeNet):
        super().__init__()
        self.conv1, self.fires = network.conv1, network.fires

    def forward(self, x: Tensor) -> list[Tensor]:
        bottom, right = (x.shape[2] % 2, x.shape[3] % 2)
        x = F.relu(self.conv1(F.pad(x, (right, 1, bottom, 1))))
        taps = [x]
        for number in range(2, 10):
            if number in (2, 4, 6):
                x = F.max_pool2d(x, 3, 2)
            x = self.fires[f"fire{number}"](x)
            if number not in (2, 4):
                taps.append(x)
        return taps


def _lpips(net: str, seed: int = 0) -> lpips.LPIPS:
    """LPIPS with its learned heads and a random trunk; the global random state stays as it is."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # lpips calls torchvision as one did years ago.
        warnings.filterwarnings("ignore", category=UserWarning, module="torchvision")
        # Not torch.manual_seed, which would seed a GPU's state too.
        torch.default_generator.manual_seed(seed)
        return lpips.LPIPS(net=net, pnet_rand=True, verbose=False)


def _heads(metric: lpips.LPIPS) -> list[Tensor]:
    return [head.model[-1].weight.flatten() for head in metric.lins]


def _perceptual(metric: lpips.LPIPS, name: str, digest: str) -> Perceptual:
    scaling = metric.scaling_layer
    return Perceptual(metric.net, _heads(metric), scaling.shift, scaling.scale, name, digest)
