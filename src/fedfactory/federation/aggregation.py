"""Federated averaging (McMahan et al., AISTATS 2017) with uniform weights, as in the paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def uniform_mean(models: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Average models, each with the same weight, however many images its client has.

    Args:
        models: state dicts of the clients in ascending order of their index, which fixes the order of the sum.

    Returns:
        A state dict; each value is the mean in float64, rounded once to the type of the first model's.

    Raises:
        ValueError: no model, or models with different names.
    """
    if not models:
        raise ValueError("the mean of no model is not defined")
    first = models[0]
    if any(model.keys() != first.keys() for model in models):
        raise ValueError("models with different parameters cannot be averaged")
    return {
        name: torch.as_tensor(sum(model[name].to(torch.float64) for model in models) / len(models)).to(value.dtype)
        for name, value in first.items()
    }
