"""How the models of a round become one.

The paper averages with uniform weights (federated averaging; McMahan et al., AISTATS 2017). Two other rules let no
single client move a value as far as it likes: the coordinate-wise median and trimmed mean (Yin et al.,
"Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", ICML 2018).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

    Models = Sequence[Mapping[str, Tensor]]

Rule = Literal["mean", "median", "trimmed_mean"]
"""Names of the rules, as the configuration has them."""
FEWEST = 3
"""Clients of a round that any rule but the mean needs."""


def uniform_mean(models: Models) -> dict[str, Tensor]:
    """Average models, each with the same weight, however many images its client has.

    Args:
        models: state dicts of the clients in ascending order of their index, which fixes the order of the sum.

    Returns:
        A state dict; each value is the mean in float64, rounded once to the type of the first model's.

    Raises:
        ValueError: no model, or models with different names.
    """
    return _each(models, _mean)


def median(models: Models) -> dict[str, Tensor]:
    """The median of each value; of an even number of models the mean of both in the middle. As :func:`uniform_mean`."""
    return _each(models, lambda values: _middle(values, (len(values) - 1) // 2))


def trimmed_mean(models: Models) -> dict[str, Tensor]:
    """The mean of each value without its largest and its smallest one, of three models or more.

    As :func:`uniform_mean`.
    """
    return _each(models, lambda values: _middle(values, 1))


RULES: Mapping[Rule, Callable[[Models], dict[str, Tensor]]] = {
    "mean": uniform_mean,
    "median": median,
    "trimmed_mean": trimmed_mean,
}


def _each(models: Models, aggregate: Callable[[list[Tensor]], Tensor]) -> dict[str, Tensor]:
    if not models:
        raise ValueError("the mean of no model is not defined")
    first = models[0]
    if any(model.keys() != first.keys() for model in models):
        raise ValueError("models with different parameters cannot be averaged")
    return {
        name: aggregate([model[name].double() for model in models]).to(value.dtype) for name, value in first.items()
    }


def _mean(values: list[Tensor]) -> Tensor:
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total / len(values)


def _middle(values: list[Tensor], left_out: int) -> Tensor:
    """Mean of each value without so many of the largest and of the smallest."""
    import torch

    ordered = torch.stack(values).sort(0).values
    kept = ordered[left_out : len(values) - left_out]
    return kept.mean(0)
