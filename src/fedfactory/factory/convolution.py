"""Convolutions whose derivatives, of any order, are again these convolutions.

R1 and the path length differentiate twice. Built into torch, a second derivative of a convolution takes slow ways on a
CPU; here the derivative of a convolution is its transpose or a weight gradient, and theirs are convolutions again, so
that every pass runs on the fast kernels. The blur and its transpose form a second such pair. Feature maps are kept in
channels-last order, which is what these kernels like best.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function


def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int = 1,
    padding: int = 0,
    transposed: bool = False,
) -> Tensor:
    """Convolve, or apply the transpose of the same convolution.

    Args:
        x: (batch, inputs, height, width); transposed: (batch, outputs, h, w).
        weight: (outputs, inputs, kernel, kernel).
        bias: for each channel of the result, or None.
        stride: 1, or 2 where no pixel of the large side is left over.
        padding: zeros on each side of the large side.
        transposed: whether to map from the outputs' side to the inputs' side.

    Returns:
        (batch, outputs, h, w), or (batch, inputs, height, width) if transposed.
    """
    # With a constant weight no second derivative is ever asked for, and torch's first one is as fast.
    if not weight.requires_grad:
        return _function(transposed)(x, weight, bias, stride, padding)
    return _Conv.apply(x, weight, bias, stride, padding, transposed)


def _function(transposed: bool) -> Callable[..., Tensor]:
    return F.conv_transpose2d if transposed else F.conv2d


def blur(x: Tensor, padding: int) -> Tensor:
    """Convolve every channel with [1, 3, 3, 1] / 8 along both axes.

    Args:
        x: (batch, channels, height, width).
        padding: zeros on each side, 1 or 2.

    Returns:
        (batch, channels, h, w), ``2 * padding - 3`` pixels larger.
    """
    return _Blur.apply(x, padding)


def halve(x: Tensor) -> Tensor:
    """Blur and keep every second pixel, of an even height and width; what is not kept is never computed."""
    return _Resample.apply(x, False)


def double(x: Tensor) -> Tensor:
    """Double height and width with the blur as filter: the transpose of :func:`halve`, times 4 to keep brightness."""
    return _Resample.apply(x, True) * 4


class _Conv(Function):
    """A convolution or its transpose."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int, transposed: bool
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.form = (stride, padding, transposed)
        return _function(transposed)(x, weight, bias, stride, padding)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        stride, padding, transposed = ctx.form
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_x = _Conv.apply(gradient, weight, None, stride, padding, not transposed)
        if ctx.needs_input_grad[1]:
            large, small = (gradient, x) if transposed else (x, gradient)
            of_weight = _WeightGradient.apply(large, small, weight.shape[-1], stride, padding)
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum((0, 2, 3))
        return of_x, of_weight, of_bias, None, None, None


class _WeightGradient(Function):
    """The gradient of a convolution's weight, bilinear in what the convolution reads and its result's gradient."""

    @staticmethod
    def forward(ctx: Any, large: Tensor, small: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(large, small)
        ctx.form = (stride, padding)
        shape = (small.shape[1], large.shape[1], kernel, kernel)
        weight = torch.empty(shape, dtype=large.dtype, device=large.device, memory_format=torch.channels_last)
        options = ([stride, stride], [padding, padding], [1, 1], False, [0, 0], 1)
        return torch.ops.aten.convolution_backward(small, large, weight, None, *options, [False, True, False])[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        large, small = ctx.saved_tensors
        stride, padding = ctx.form
        of_large = of_small = None
        if ctx.needs_input_grad[0]:
            of_large = _Conv.apply(small, gradient, None, stride, padding, True)
        if ctx.needs_input_grad[1]:
            of_small = _Conv.apply(large, gradient, None, stride, padding, False)
        return of_large, of_small, None, None, None


@cache
def _kernel(channels: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The blur's kernel for every channel: one pass over 4 x 4 pixels is faster than two over 4."""
    taps = torch.tensor([1, 3, 3, 1], dtype=dtype, device=device) / 8
    return torch.outer(taps, taps).expand(channels, 1, 4, 4)


def _filtered(x: Tensor, stride: int, padding: int, transposed: bool = False) -> Tensor:
    channels = x.shape[1]
    kernel = _kernel(channels, x.dtype, x.device)
    return _function(transposed)(x, kernel, stride=stride, padding=padding, groups=channels)


class _Blur(Function):
    """The blur; the kernel is symmetric, so its transpose is the blur with the complementary padding."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, padding: int) -> Tensor:
        ctx.padding = padding
        return _filtered(x, 1, padding)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Blur.apply(gradient, 3 - ctx.padding), None


class _Resample(Function):
    """The blur at every second pixel, or the transpose of it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, up: bool) -> Tensor:
        ctx.up = up
        return _filtered(x, 2, 1, transposed=up)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Resample.apply(gradient, not ctx.up), None
