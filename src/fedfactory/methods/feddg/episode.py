"""FedDG's loss over an episode."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

from fedfactory.methods.feddg.contrast import boundary_contrast
from fedfactory.methods.feddg.parameters import FedDGParameters
from fedfactory.training.losses import segmentation_loss


def episode_losses(network: nn.Module, images: Tensor, mixed: Tensor, labels: Tensor, p: FedDGParameters) -> Tensor:
    """Loss of one episode (FedDG, equations 5 to 8).

    First part: the segmentation loss of the images as they are. Second part: after one step of gradient descent on
    it, the segmentation loss of the same images in another client's look, and the boundary contrast of every class over
    both looks, each with the features of its own part, as in the authors' code.

    Args:
        network: (n, 1, S, S) -> logits and features.
        images: (n, 1, S, S).
        mixed: the same images with amplitudes interpolated towards another client's.
        labels: (n, S, S) uint8.
        p: parameters.

    Returns:
        A scalar; its gradient is that of both parts.
    """
    weights = dict(network.named_parameters())
    logits, features = network(images)
    inner = _segmentation(logits, labels)
    gradients = torch.autograd.grad(
        inner, list(weights.values()), create_graph=p.gradient_order == "second", retain_graph=True
    )
    moved = {
        name: value - p.inner_learning_rate * gradient
        for (name, value), gradient in zip(weights.items(), gradients, strict=True)
    }
    logits, other = functional_call(network, moved, (mixed,))
    outer = _segmentation(logits, labels)
    if p.contrast:
        both, of_both = torch.cat([features, other]), labels.repeat(2, 1, 1)
        classes = range(1, logits.shape[1])
        outer = outer + p.contrast * sum(boundary_contrast(both, of_both == value) for value in classes)
    return inner + outer


def _segmentation(logits: Tensor, labels: Tensor) -> Tensor:
    return segmentation_loss(logits, labels, 1.0, 1.0)
