"""StyleGAN2 the way public pure-PyTorch implementations write it: what the factory's networks are compared with.

A weight for every image (modulated, demodulated, run as a grouped convolution), a dense 4 x 4 blur after up- and before
downsampling, bias, leaky ReLU and gain one after the other. Parameters have the names and shapes of the factory's, so
that its state dict loads and the outputs can be compared. Embeddings and mapping network, which cost next to nothing,
are the factory's own.
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedfactory.factory.networks import Discriminator, Generator
from fedfactory.factory.parameters import NetworkParameters

# Two public formulations of the blur: every channel of every image as an image of its own (the fallback that the most
# used port calls "native"), or one convolution with as many groups as channels.
BlurForm = Literal["reshaped", "grouped"]


def upfirdn(x: Tensor, up: int, down: int, padding: tuple[int, int], gain: float, form: BlurForm) -> Tensor:
    """Insert zeros, pad, convolve with the dense 4 x 4 kernel, drop pixels.

    Args:
        x: (batch, channels, height, width).
        up: factor by which zeros are inserted.
        down: factor by which pixels are dropped.
        padding: before and after, on both axes.
        gain: factor of the result.
        form: how the convolution is written.

    Returns:
        (batch, channels, h, w).
    """
    batch, channels, height, width = x.shape
    taps = x.new_tensor([1.0, 3.0, 3.0, 1.0]) / 8
    kernel = taps[:, None] * taps * gain
    if up > 1:
        x = x.reshape(batch, channels, height, 1, width, 1)
        x = F.pad(x, (0, up - 1, 0, 0, 0, up - 1)).reshape(batch, channels, height * up, width * up)
    x = F.pad(x, padding * 2)
    if form == "reshaped":
        x = F.conv2d(x.reshape(batch * channels, 1, *x.shape[2:]), kernel[None, None])
        x = x.view(batch, channels, *x.shape[2:])
    else:
        x = F.conv2d(x, kernel.expand(channels, 1, 4, 4), groups=channels)
    return x[:, :, ::down, ::down]


class TextbookModulatedConv(nn.Module):
    """Takes the place of a modulated convolution; ``source`` gives shapes and the style's layer."""

    def __init__(self, source: nn.Module, form: BlurForm, demodulate: bool):
        super().__init__()
        self.weight, self.modulation = source.weight, source.modulation
        self.up, self.form, self.demodulate = getattr(source, "up", False), form, demodulate

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Map (batch, inputs, height, width) and w (batch, latent) to (batch, outputs, height, width)."""
        batch, inputs, height, width = x.shape
        weight = self.weight if self.weight.dim() == 4 else self.weight[:, :, None, None]
        # Ours keeps transposed weights the way torch does.
        weight = weight.transpose(0, 1) if self.up else weight
        outputs, kernel = len(weight), weight.shape[-1]
        weight = weight * (1 / (inputs * kernel**2) ** 0.5) * self.modulation(w).view(batch, 1, inputs, 1, 1)
        if self.demodulate:
            weight = weight * torch.rsqrt(weight.pow(2).sum([2, 3, 4], keepdim=True) + 1e-8)
        x = x.reshape(1, batch * inputs, height, width)
        if self.up:
            weight = weight.transpose(1, 2).reshape(batch * inputs, outputs, kernel, kernel)
            x = F.conv_transpose2d(x, weight, stride=2, groups=batch)
            x = x.view(batch, outputs, *x.shape[2:])
            return upfirdn(x, 1, 1, (1, 1), 4, self.form)
        weight = weight.reshape(batch * outputs, inputs, kernel, kernel)
        x = F.conv2d(x, weight, padding=kernel // 2, groups=batch)
        return x.view(batch, outputs, *x.shape[2:])


class TextbookStyledConv(nn.Module):
    """Modulated convolution, noise, bias, leaky ReLU, gain."""

    def __init__(self, source: nn.Module, form: BlurForm):
        super().__init__()
        self.conv = TextbookModulatedConv(source.conv, form, demodulate=True)
        self.strength, self.bias = source.strength, source.bias

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None = None) -> Tensor:
        """Map (batch, inputs, height, width) to (batch, outputs, height, width)."""
        x = self.conv(x, w)
        if self.strength is not None:
            noise = x.new_empty(x.shape[0], 1, *x.shape[2:]).normal_() if noise is None else noise
            x = x + self.strength * noise
        return F.leaky_relu(x + self.bias.view(1, -1, 1, 1), 0.2) * 2**0.5


class TextbookToImage(nn.Module):
    """Modulated 1 x 1 convolution as a grouped one."""

    def __init__(self, source: nn.Module, form: BlurForm):
        super().__init__()
        self.weight, self.modulation, self.bias = source.weight, source.modulation, source.bias
        self.form = form

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Map (batch, inputs, height, width) to (batch, 1, height, width)."""
        return TextbookModulatedConv(self, self.form, demodulate=False)(x, w) + self.bias


class TextbookGenerator(Generator):
    """The generator with textbook layers."""

    def __init__(self, p: NetworkParameters, form: BlurForm):
        super().__init__(p)
        self.form = form
        self.convs = nn.ModuleList(TextbookStyledConv(c, form) for c in self.convs)
        self.to_images = nn.ModuleList(TextbookToImage(t, form) for t in self.to_images)

    def synthesise(self, styles: Tensor, noise: list[Tensor] | None = None, zoom: None = None) -> Tensor:
        """Render styles (batch, n_styles, latent) as images (batch, 1, image_size, image_size); it knows no zoom."""
        x, image = self.constant.repeat(len(styles), 1, 1, 1), None
        for i, conv in enumerate(self.convs):
            x = conv(x, styles[:, i], None if noise is None else noise[i])
            if i % 2 == 0:
                rendered = self.to_images[i // 2](x, styles[:, i + 1])
                image = rendered if image is None else upfirdn(image, 2, 1, (2, 1), 4, self.form) + rendered
        return image


class TextbookConv(nn.Module):
    """Blur, convolution, bias, leaky ReLU, gain."""

    def __init__(self, source: nn.Module, form: BlurForm):
        super().__init__()
        self.weight, self.bias = source.weight, source.bias
        self.down, self.form = source.down, form

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, inputs, height, width) to (batch, outputs, height or half, width or half)."""
        weight = self.weight if self.weight.dim() == 4 else self.weight[:, :, None, None]
        outputs, inputs, kernel, _ = weight.shape
        weight = weight * (1 / (inputs * kernel**2) ** 0.5)
        if self.down:
            x = upfirdn(x, 1, 1, (2, 2) if kernel == 3 else (1, 1), 1, self.form)
        x = F.conv2d(x, weight, stride=1 + self.down, padding=0 if self.down else kernel // 2)
        if self.bias is None:
            return x
        return F.leaky_relu(x + self.bias.view(1, -1, 1, 1), 0.2) * 2**0.5


class TextbookBlock(nn.Module):
    """Residual block."""

    def __init__(self, source: nn.Module, form: BlurForm):
        super().__init__()
        self.first, self.second = TextbookConv(source.first, form), TextbookConv(source.second, form)
        self.skip = TextbookConv(source.skip, form)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, inputs, height, width) to (batch, outputs, height / 2, width / 2)."""
        return (self.second(self.first(x)) + self.skip(x)) / 2**0.5


class TextbookDiscriminator(Discriminator):
    """The discriminator with textbook layers."""

    def __init__(self, p: NetworkParameters, form: BlurForm):
        super().__init__(p)
        self.from_image = TextbookConv(self.from_image, form)
        self.blocks = nn.Sequential(*(TextbookBlock(b, form) for b in self.blocks))
        self.conv = TextbookConv(self.conv, form)

    def forward(self, images: Tensor, client: Tensor, position: Tensor, key: Tensor, use_key: bool = True) -> Tensor:
        """Judge images (batch, 1, image_size, image_size): logits (batch,)."""
        x = self.blocks(self.from_image(images))
        batch, channels, height, width = x.shape
        group = min(batch, 4)
        deviation = x.view(group, -1, 1, channels, height, width)
        deviation = torch.sqrt(deviation.var(0, unbiased=False) + 1e-8).mean([2, 3, 4], keepdim=True).squeeze(2)
        x = self.conv(torch.cat([x, deviation.repeat(group, 1, height, width)], 1))
        x = self.head(x.flatten(1))
        condition = self.condition.label(client, position)
        if use_key:
            condition = condition + self.condition.key(key)
        return (x * condition).sum(1) / x.shape[1] ** 0.5


class TextbookModel(nn.Module):
    """Both of them, with the names of :class:`fedfactory.factory.networks.FactoryModel`."""

    def __init__(self, p: NetworkParameters, form: BlurForm):
        super().__init__()
        self.generator = TextbookGenerator(p, form)
        self.discriminator = TextbookDiscriminator(p, form)
