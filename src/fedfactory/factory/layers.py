"""Layers of the factory's networks (Karras et al., CVPR 2020), in forms that are fast on a CPU as well.

Every convolution keeps its weight as drawn from N(0, 1) and scales it when it runs (equalised learning rate). The
factor sqrt(2) that follows a leaky ReLU is folded into what stands before it: both are positively homogeneous.
Weights are float32; a layer computes in the type of the feature maps that it reads (mixed precision).
"""

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedfactory.factory.convolution import blur, conv, halve

SLOPE = 0.2
GAIN = math.sqrt(2)
EPSILON = 1e-8


def pixel_norm(x: Tensor) -> Tensor:
    """Scale vectors (..., features) to a mean square of one."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPSILON)


def normal_weight(*shape: int) -> nn.Parameter:
    """Draw a weight of a convolution from N(0, 1), stored in the order that channels-last convolutions read."""
    return nn.Parameter(torch.randn(shape).contiguous(memory_format=torch.channels_last))


class EqualisedLinear(nn.Module):
    """Linear layer whose weight is scaled when it runs (Karras et al., ICLR 2018).

    Args:
        inputs: features that come in.
        outputs: features that go out.
        rate: multiplier of the learning rate: what is stored is larger by 1 / rate.
        bias: value at which the bias starts.
        activation: whether a scaled leaky ReLU follows.
    """

    def __init__(self, inputs: int, outputs: int, rate: float = 1.0, bias: float = 0.0, activation: bool = False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias / rate))
        self.activation = activation
        gain = GAIN if activation else 1.0
        self.weight_scale = gain * rate / math.sqrt(inputs)
        self.bias_scale = gain * rate

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., inputs) to (..., outputs)."""
        x = F.linear(x, self.weight * self.weight_scale, self.bias * self.bias_scale)
        return F.leaky_relu_(x, SLOPE) if self.activation else x


class EqualisedConv(nn.Module):
    """3 x 3 convolution, bias and scaled leaky ReLU that keep the image's size or, after a blur, halve it.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        down: whether to halve.
        gain: factor of the result.
    """

    def __init__(self, inputs: int, outputs: int, down: bool = False, gain: float = 1.0):
        super().__init__()
        self.weight = normal_weight(outputs, inputs, 3, 3)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.down = down
        self.bias_scale = gain * GAIN
        self.weight_scale = self.bias_scale / math.sqrt(inputs * 9)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, inputs, height, width) to (batch, outputs, height, width), or half of that size."""
        weight, bias = (self.weight * self.weight_scale).to(x.dtype), (self.bias * self.bias_scale).to(x.dtype)
        x = conv(blur(x, 2), weight, bias, stride=2) if self.down else conv(x, weight, bias, padding=1)
        return F.leaky_relu_(x, SLOPE)


class EqualisedPointwise(nn.Module):
    """1 x 1 convolution, run as a linear layer on channels-last feature maps.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        down: whether the image is blurred and halved before.
        activation: whether a bias and a scaled leaky ReLU follow.
        gain: factor of the result.
    """

    def __init__(self, inputs: int, outputs: int, down: bool = False, activation: bool = False, gain: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs)) if activation else None
        self.down = down
        self.bias_scale = gain * (GAIN if activation else 1.0)
        self.weight_scale = self.bias_scale / math.sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, inputs, height, width) to (batch, outputs, height, width), or half of that size."""
        x = (halve(x) if self.down else x).permute(0, 2, 3, 1)
        bias = None if self.bias is None else (self.bias * self.bias_scale).to(x.dtype)
        x = F.linear(x, (self.weight * self.weight_scale).to(x.dtype), bias)
        x = x if bias is None else F.leaky_relu_(x, SLOPE)
        return x.permute(0, 3, 1, 2)


class ModulatedConv(nn.Module):
    """3 x 3 convolution whose weights a style scales, demodulated, without a weight of its own for every image.

    Scaling the weights' input channels by the style equals scaling the input; the norm that demodulation divides by is
    a quadratic form of the style (Karras et al., CVPR 2020, equations 1 to 3). So one convolution serves the batch.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        latent: length of the style vector w.
        up: whether to double the image's size (transposed convolution, then the blur).

    Attributes:
        weight: (outputs, inputs, 3, 3), but (inputs, outputs, 3, 3) with ``up``, as torch keeps transposed weights.
    """

    def __init__(self, inputs: int, outputs: int, latent: int, up: bool = False):
        super().__init__()
        self.weight = normal_weight(*((inputs, outputs) if up else (outputs, inputs)), 3, 3)
        self.modulation = EqualisedLinear(latent, inputs, bias=1.0)
        self.up = up
        self.weight_scale = 1 / math.sqrt(inputs * 9)

    def forward(self, x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        """Convolve.

        Args:
            x: (batch, inputs, height, width).
            w: (batch, latent).

        Returns:
            The convolution, not yet demodulated: (batch, outputs, height, width), or twice that size.
            The factor that it still needs, (batch, outputs, 1, 1).
        """
        style = self.modulation(w) * self.weight_scale
        energy = self.weight.square().sum((2, 3))
        factor = torch.rsqrt(style.square() @ (energy if self.up else energy.t()) + EPSILON)
        x, weight = x * style[:, :, None, None].to(x.dtype), self.weight.to(x.dtype)
        if self.up:
            # The zeros between the pixels cost a factor of 4 in brightness.
            x, factor = blur(conv(x, weight, stride=2, transposed=True), 1), factor * 4
        else:
            x = conv(x, weight, padding=1)
        return x, factor[:, :, None, None]


class StyledConv(nn.Module):
    """Modulated convolution, noise, bias and scaled leaky ReLU.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        latent: length of the style vector w.
        noise: whether noise of a learned strength, 0 at first, is added.
        up: whether to double the image's size.
    """

    def __init__(self, inputs: int, outputs: int, latent: int, noise: bool, up: bool = False):
        super().__init__()
        self.conv = ModulatedConv(inputs, outputs, latent, up)
        self.strength = nn.Parameter(torch.zeros(())) if noise else None
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None = None) -> Tensor:
        """Map (batch, inputs, height, width) to (batch, outputs, height, width), or twice that size.

        Args:
            x: features.
            w: (batch, latent).
            noise: (batch or 1, 1, height, width) of the result; if None, torch's global generator draws it.
        """
        x, factor = self.conv(x, w)
        x = (x * (factor * GAIN).to(x.dtype)).add_((self.bias * GAIN)[:, None, None].to(x.dtype))
        if self.strength is not None:
            if noise is None:
                noise = x.new_empty(x.shape[0], 1, *x.shape[2:]).normal_()
            x = x.add_((noise * (self.strength * GAIN)).to(x.dtype))
        return F.leaky_relu_(x, SLOPE)


class ToImage(nn.Module):
    """Modulated 1 x 1 convolution to one image channel, without demodulation.

    Args:
        inputs: channels that come in.
        latent: length of the style vector w.
    """

    def __init__(self, inputs: int, latent: int):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, inputs))
        self.modulation = EqualisedLinear(latent, inputs, bias=1.0)
        self.bias = nn.Parameter(torch.zeros(()))
        self.weight_scale = 1 / math.sqrt(inputs)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Map (batch, inputs, height, width) and w (batch, latent) to (batch, 1, height, width), of w's type."""
        weight = self.modulation(w) * (self.weight * self.weight_scale)
        image = torch.bmm(x.permute(0, 2, 3, 1).flatten(1, 2), weight[:, :, None].to(x.dtype))
        return image.view(x.shape[0], 1, *x.shape[2:]).to(weight.dtype) + self.bias


def magnify(x: Tensor, zoom: Tensor | float) -> Tensor:
    """Enlarge (or, below 0, shrink) every image around its centre, by bilinear interpolation.

    Two matrix products, one for each axis: cheap on small maps, and differentiable twice, also by the zoom.

    Args:
        x: (batch, channels, height, width).
        zoom: natural logarithm of the magnification, (batch,), or one for all that never changes.

    Returns:
        (batch, channels, height, width), in channels-last order; what comes in from outside repeats the border.
    """
    if isinstance(zoom, Tensor):
        rows, columns = (_magnification(zoom, size).to(x.dtype) for size in x.shape[2:])
    else:
        rows, columns = (_constant_magnification(zoom, size, x.dtype, x.device) for size in x.shape[2:])
    pixels = x.permute(0, 2, 3, 1)
    pixels = torch.matmul(rows, pixels.flatten(2)).view_as(pixels)
    return torch.matmul(columns[:, None], pixels).permute(0, 3, 1, 2)


def _magnification(zoom: Tensor, size: int) -> Tensor:
    """Interpolation along one axis: (batch, size written, size read)."""
    places = torch.arange(size, device=zoom.device)
    centre = (size - 1) / 2
    read = (centre + (places - centre) * torch.exp(-zoom)[:, None]).clamp(0, size - 1)
    return F.relu(1 - (read[:, :, None] - places).abs())


@cache
def _constant_magnification(zoom: float, size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    return _magnification(torch.tensor([zoom], dtype=dtype, device=device), size)


def minibatch_deviation(x: Tensor, group: int = 4) -> Tensor:
    """Append the mean standard deviation within groups of the batch as one more channel (Karras et al., ICLR 2018).

    Args:
        x: (batch, channels, height, width).
        group: images of a group; for a batch that it does not divide, the largest smaller size that does.

    Returns:
        (batch, channels + 1, height, width).
    """
    batch, channels, height, width = x.shape
    group = next(size for size in range(min(group, batch), 0, -1) if batch % size == 0)
    groups = x.reshape(group, batch // group, channels, height, width)
    deviation = torch.sqrt(groups.var(0, unbiased=False) + EPSILON).mean((1, 2, 3))
    return torch.cat([x, deviation.repeat(group).view(batch, 1, 1, 1).expand(-1, 1, height, width)], 1)
