"""1 x 1 convolutions as linear layers of pixels.

On a CPU, with one thread and fewer than 16 images, torch runs a 1 x 1 convolution image by image, by an old kernel; as
a linear layer it is one matrix product for the whole batch.
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch.nn.functional as F
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


class Pointwise(nn.Conv2d):
    """1 x 1 convolution, of the same weights as torch's.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        bias: whether one is added.
    """

    def __init__(self, inputs: int, outputs: int, bias: bool = True):
        super().__init__(inputs, outputs, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, inputs, height, width) to (batch, outputs, height, width)."""
        if x.device.type != "cpu":
            return super().forward(x)
        return F.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


def _is_plain(conv: nn.Conv2d) -> bool:
    return conv.kernel_size == conv.stride == (1, 1) and conv.padding == (0, 0) and conv.groups == 1


def with_pointwise(network: Network) -> Network:
    """A copy of a network whose 1 x 1 convolutions are :class:`Pointwise`, with the same weights."""
    network = copy.deepcopy(network)
    for module in network.modules():
        if type(module) is nn.Conv2d and _is_plain(module):
            module.__class__ = Pointwise
    return network
