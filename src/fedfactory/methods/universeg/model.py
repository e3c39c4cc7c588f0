"""UniverSeg with its weights, published or pre-trained by the workflow."""

from __future__ import annotations

from pathlib import Path

import torch

from fedfactory.methods.foundation.model import read_card, write_pretrained
from fedfactory.methods.foundation.pretraining import pretrain
from fedfactory.methods.universeg.network import UniverSeg
from fedfactory.methods.universeg.parameters import UniverSegParameters
from fedfactory.methods.universeg.segmenter import segment_tasks
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.checkpoints import Checkpoints
from fedfactory.storage.files import new_folder
from fedfactory.storage.state_dicts import load_weights
from fedfactory.training.seeds import derive_seed


def pretrain_universeg(
    p: UniverSegParameters, seed: int, device: str, checkpoints: Checkpoints, out: Path, progress: Progress
) -> None:
    """Pre-train a small UniverSeg on procedural tasks.

    Args:
        p: parameters with ``features`` and ``pretraining``.
        seed: of weights, tasks and batches.
        device: ``cpu`` or ``cuda``.
        checkpoints: where the training can go on from.
        out: folder of the model; written whole or not at all.
        progress: updated every step.
    """
    assert p.features is not None and p.pretraining is not None, "checked for this choice"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("weights", seed))
        network = UniverSeg(p.features).to(device)
    history, dice = pretrain(network, segment_tasks, p.pretraining, p.image_size, seed, checkpoints, progress)
    with new_folder(out) as folder:
        write_pretrained(folder, network, history, dice, features=list(p.features), image_size=p.image_size)


def open_universeg(weights: Path, device: str) -> UniverSeg:
    """Load a network from a folder that :func:`pretrain_universeg` made, or from the published file.

    Raises:
        FedFactoryError: neither, or weights of another model.
    """
    if weights.is_dir():
        network, file = UniverSeg(read_card(weights)["features"]), weights / "weights.pt"
    else:
        network, file = UniverSeg(), weights
    network = network.to(device)
    load_weights(network, file, device)
    return network.requires_grad_(False).eval()
