"""CycleGAN's networks (Zhu et al., ICCV 2017), at any width."""

from __future__ import annotations

from torch import Tensor, nn

from fedfactory.methods.fedmedgan.parameters import FedMedGanParameters

TO_TARGET, TO_SOURCE = "to_target", "to_source"
"""Names of the two generators."""


class _Residual(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.block = nn.Sequential(*_layer(width, width, 3), *_layer(width, width, 3)[:-1])

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


class Generator(nn.Module):
    """Translate images (n, 1, S, S) in [-1, 1] to another look; S divisible by 2 to the power of ``downsamplings``."""

    def __init__(self, width: int, downsamplings: int, blocks: int):
        super().__init__()
        parts: list[nn.Module] = _layer(1, width, 7)
        for _ in range(downsamplings):
            parts += _layer(width, 2 * width, 3, stride=2)
            width *= 2
        parts += [_Residual(width) for _ in range(blocks)]
        for _ in range(downsamplings):
            # Enlarge, then convolve: transposed convolutions leave a checkerboard.
            parts += [nn.Upsample(scale_factor=2, mode="nearest"), *_layer(width, width // 2, 3)]
            width //= 2
        self.layers = nn.Sequential(*parts, nn.Conv2d(width, 1, 7, padding=3, padding_mode="reflect"), nn.Tanh())

    def forward(self, images: Tensor) -> Tensor:
        """Images of the same shape, in [-1, 1]."""
        return self.layers(images)


class Discriminator(nn.Module):
    """Say for each patch of images (n, 1, S, S) whether it looks real: scores (n, 1, s, s)."""

    def __init__(self, width: int, layers: int):
        super().__init__()
        parts: list[nn.Module] = [nn.Conv2d(1, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for _ in range(layers - 1):
            parts += [
                nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
                nn.InstanceNorm2d(2 * width),
                nn.LeakyReLU(0.2),
            ]
            width *= 2
        self.layers = nn.Sequential(*parts, nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, images: Tensor) -> Tensor:
        """Scores; least squares pull those of real patches to 1, of others to 0."""
        return self.layers(images)


def make_generators(p: FedMedGanParameters) -> nn.ModuleDict:
    """Both generators: what the clients share."""
    return nn.ModuleDict({name: Generator(p.width, p.downsamplings, p.blocks) for name in (TO_TARGET, TO_SOURCE)})


def _layer(channels: int, width: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2, padding_mode="reflect")
    return [convolution, nn.InstanceNorm2d(width), nn.ReLU()]
