"""Terms of a self-training's loss that ask for no label, from probabilities (n, classes + 1, H, W)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

# Below it the logarithm of a probability is cut off.
_LEAST = 1e-8


def pseudo_label_loss(logits: Tensor, teacher: Tensor, confidence: float) -> Tensor:
    """Mean cross-entropy with a teacher's labels, over the pixels where its probability is large enough.

    Args:
        logits: of the student, (n, classes + 1, H, W).
        teacher: probabilities of the same shape.
        confidence: least probability of a label that counts.

    Returns:
        A scalar; 0 where no pixel counts.
    """
    probability, labels = teacher.max(1)
    sure = (probability >= confidence).to(logits.dtype)
    losses = functional.cross_entropy(logits, labels, reduction="none")
    return (losses * sure).sum() / sure.sum().clamp(min=1)


def entropy(found: Tensor) -> Tensor:
    """Mean over the pixels of the entropy of their probabilities, in nats."""
    return -(found * found.clamp(min=_LEAST).log()).sum(1).mean()


def entropy_of_mean(found: Tensor) -> Tensor:
    """Entropy of the mean probabilities of all pixels, in nats: large where predictions differ."""
    mean = found.mean((0, 2, 3))
    return -(mean * mean.clamp(min=_LEAST).log()).sum()
