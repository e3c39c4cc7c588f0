"""3 x 3 convolutions with a quarter of the multiplications, for wide layers on a CPU.

Winograd's minimal filtering F(4 x 4, 3 x 3) (Lavin and Gray, CVPR 2016): a tile of 6 x 6 pixels, evaluated as a
polynomial at 6 x 6 points, gives 4 x 4 results with 36 products instead of 144. Those products are 36 matrix products
over the channels, the changes of basis are small ones. The points 0, +-3/4, +-3/2 and infinity keep the rounding error
near 1.5e-6 of the results' standard deviation at 512 channels (0, +-1, +-2 give twice that).
"""

import math
from collections.abc import Iterator
from functools import cache
from threading import local

import torch
import torch.nn.functional as F
from torch import Tensor

_POINTS = (0.0, 0.75, -0.75, 1.5, -1.5)
_OUT, _IN = 4, 6
# Tiles of a band: enough for fast matrix products.
_TILES = 256
# Below, the changes of basis cost more than they save (measured with torch 2.14 on one Sapphire Rapids core).
_LEAST_CHANNELS, _LEAST_SIZE = 128, 32


def pays(x: Tensor, weight: Tensor, stride: int, padding: int) -> bool:
    """Whether this convolution, x (batch, channels, height, width), is possible and faster here than in the library."""
    return (
        x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
        and stride == padding == 1
        and weight.shape[-1] == 3
        and min(weight.shape[:2]) >= _LEAST_CHANNELS
        and min(x.shape[2:]) >= _LEAST_SIZE
        and not (x.shape[2] % _OUT or x.shape[3] % _OUT)
    )


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None, transposed: bool = False) -> Tensor:
    """Convolve with zeros outside, the size kept.

    Args:
        x: (batch, inputs, height, width), both sizes multiples of 4; transposed: (batch, outputs, height, width).
        weight: (outputs, inputs, 3, 3).
        bias: for each channel of the result, or None.
        transposed: whether to apply the transpose of the convolution.

    Returns:
        (batch, outputs, height, width) in channels-last order; transposed: (batch, inputs, height, width).
    """
    output, _, _ = _bases(x.dtype)
    weights = _transform_weight(weight, transposed)
    channels = weights.shape[2]
    result = torch.empty(len(x), channels, *x.shape[2:], dtype=x.dtype, memory_format=torch.channels_last)
    bias = x.new_zeros(channels) if bias is None else bias
    pixels, results = x.permute(0, 2, 3, 1), result.permute(0, 2, 3, 1)
    for band in _bands(x.shape):
        tiles = _transform_input(pixels, band)
        products = _scratch("products", x.dtype, _IN**2, tiles.shape[1], channels)
        torch.bmm(tiles, weights, out=products)
        target = _blocks(results[band])
        torch.add(_change_basis("results", output, products.flatten(1)).view(target.shape), bias, out=target)
    return result


def weight_gradient(x: Tensor, gradient: Tensor) -> Tensor:
    """Gradient of the weight of :func:`convolve`.

    Args:
        x: what the convolution read, (batch, inputs, height, width).
        gradient: gradient of its result, (batch, outputs, height, width).

    Returns:
        (outputs, inputs, 3, 3) in channels-last order.
    """
    output, weight, _ = _bases(x.dtype)
    inputs, outputs = x.shape[1], gradient.shape[1]
    total = _scratch("weights", x.dtype, _IN**2, outputs, inputs)
    pixels, gradients = x.permute(0, 2, 3, 1), gradient.permute(0, 2, 3, 1)
    for i, band in enumerate(_bands(x.shape)):
        blocks = _blocks(gradients[band])
        blocks = _scratch("blocks", x.dtype, *blocks.shape).copy_(blocks).view(_OUT**2, -1)
        values = _change_basis("products", output.t(), blocks).view(_IN**2, -1, outputs)
        total.baddbmm_(values.transpose(1, 2), _transform_input(pixels, band), beta=min(i, 1))
    result = (weight.t() @ total.flatten(1)).view(9, outputs, inputs).transpose(0, 1).contiguous()
    return result.view(outputs, 3, 3, inputs).permute(0, 3, 1, 2)


@cache
def _bases(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Changes of basis of results (16, 36), weights (36, 9) and inputs (36, 36), for both axes at once.

    A product of polynomials is known from its values at the points; correlation is the transpose of that product.
    """
    points = torch.tensor(_POINTS, dtype=torch.float64)

    def evaluation(coefficients: int) -> Tensor:
        finite = points[:, None] ** torch.arange(coefficients)
        return torch.cat([finite, F.one_hot(torch.tensor([coefficients - 1]), coefficients)])

    output, weight, inputs = evaluation(_OUT).t(), evaluation(3), torch.linalg.inv(evaluation(_IN)).t()
    output, weight, inputs = (torch.kron(a, a.contiguous()).to(dtype) for a in (output.contiguous(), weight, inputs))
    return output, weight, inputs


class _Memory(local):
    """Scratch memory of a thread, kept from call to call.

    Memory fresh from the kernel comes page by page, which would cost more than what is computed in it.
    """

    def __init__(self) -> None:
        self.buffers: dict[tuple[str, torch.dtype], Tensor] = {}


_memory = _Memory()


def _scratch(name: str, dtype: torch.dtype, *shape: int) -> Tensor:
    """Memory of any content that is valid until it is asked for under this name again."""
    size = math.prod(shape)
    buffer = _memory.buffers.get((name, dtype))
    if buffer is None or buffer.numel() < size:
        buffer = _memory.buffers[name, dtype] = torch.empty(size, dtype=dtype)
    return buffer[:size].view(shape)


def _change_basis(name: str, basis: Tensor, values: Tensor) -> Tensor:
    """Matrix product into scratch memory."""
    return torch.mm(basis, values, out=_scratch(name, values.dtype, len(basis), values.shape[1]))


def _transform_weight(weight: Tensor, transposed: bool) -> Tensor:
    """Weights at the 36 points: (36, channels read, channels written)."""
    _, basis, _ = _bases(weight.dtype)
    weight = weight.permute(0, 2, 3, 1).flatten(1, 2)
    # Flipping both axes of the kernel reverses its nine places.
    basis = basis.flip(1) if transposed else basis
    values = _scratch("weights", weight.dtype, len(weight), _IN**2, weight.shape[2])
    torch.matmul(basis, weight, out=values)
    return values.transpose(0, 1) if transposed else values.permute(1, 2, 0)


def _bands(shape: torch.Size) -> Iterator[tuple[slice, slice]]:
    """Slices of images and of rows that cut a batch (batch, _, height, width) into bands of tiles."""
    batch, _, height, width = shape
    rows = min(max(_TILES * _OUT // width, 1) * _OUT, height)
    images = max(_TILES * _OUT**2 // (height * width), 1)
    for image in range(0, batch, images):
        for row in range(0, height, rows):
            yield slice(image, min(image + images, batch)), slice(row, min(row + rows, height))


def _transform_input(pixels: Tensor, band: tuple[slice, slice]) -> Tensor:
    """Tiles of a band of pixels (batch, height, width, channels) at the 36 points: (36, tiles, channels)."""
    _, _, basis = _bases(pixels.dtype)
    images, rows = band
    height, width, channels = pixels.shape[1:]
    size = (images.stop - images.start, rows.stop - rows.start + 2, width + 2, channels)
    border = _scratch("border", pixels.dtype, *size).zero_()
    first, last = max(rows.start - 1, 0), min(rows.stop + 1, height)
    border[:, first - rows.start + 1 : last - rows.start + 1, 1:-1] = pixels[images, first:last]
    tiles = border.unfold(1, _IN, _OUT).unfold(2, _IN, _OUT).permute(4, 5, 0, 1, 2, 3)
    tiles = _scratch("tiles", pixels.dtype, *tiles.shape).copy_(tiles).view(_IN**2, -1)
    return _change_basis("inputs", basis, tiles).view(_IN**2, -1, channels)


def _blocks(pixels: Tensor) -> Tensor:
    """View pixels (batch, height, width, channels) by place in a block: (4, 4, batch, rows, columns, channels)."""
    batch, height, width, channels = pixels.shape
    pixels = pixels.unflatten(2, (width // _OUT, _OUT)).unflatten(1, (height // _OUT, _OUT))
    return pixels.permute(2, 4, 0, 1, 3, 5)
