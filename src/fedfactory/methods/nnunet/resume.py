"""What an nnU-Net training needs to go on after a kill as if there had been none.

nnU-Net's own checkpoints are pickles of arbitrary objects, and leave the random numbers out. These are tensors and
plain values, taken between two epochs.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from fedfactory.methods.nnunet._trainer import BenchmarkTrainer


def state_of(trainer: BenchmarkTrainer) -> dict[str, Any]:
    """Everything that an epoch has changed."""
    figures = trainer.logger.get_checkpoint()
    return {
        "network": trainer.network.state_dict(),
        "optimiser": trainer.optimizer.state_dict(),
        "scaler": trainer.grad_scaler.state_dict() if trainer.grad_scaler is not None else None,
        "epoch": trainer.current_epoch,
        # Numbers of numpy's kinds as plain ones.
        "figures": {name: [np.asarray(value, np.float64).tolist() for value in each] for name, each in figures.items()},
        "best": None if trainer._best_ema is None else float(trainer._best_ema),
        "snapshots": trainer.snapshots,
        "random": _random_numbers(),
    }


def restore(trainer: BenchmarkTrainer, state: Mapping[str, Any]) -> None:
    """Bring a trainer that is ready to start to the state that :func:`state_of` saw."""
    trainer.network.load_state_dict(state["network"])
    trainer.optimizer.load_state_dict(state["optimiser"])
    if trainer.grad_scaler is not None:
        trainer.grad_scaler.load_state_dict(state["scaler"])
    trainer.current_epoch = state["epoch"]
    trainer.logger.load_checkpoint(state["figures"])
    trainer._best_ema = state["best"]
    trainer.snapshots = state["snapshots"]
    _set_random_numbers(state["random"])


def _random_numbers() -> dict[str, Any]:
    version, words, normal = random.getstate()
    state: Any = np.random.get_state()
    _, keys, place, has_normal, cached = state
    return {
        "python": [version, list(words), normal],
        "numpy": [keys.tolist(), place, has_normal, cached],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None,
    }


def _set_random_numbers(state: Mapping[str, Any]) -> None:
    version, words, normal = state["python"]
    random.setstate((version, tuple(words), normal))
    keys, *rest = state["numpy"]
    np.random.set_state(("MT19937", np.array(keys, np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"])
