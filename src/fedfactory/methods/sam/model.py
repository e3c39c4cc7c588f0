"""SAM with its weights, published or pre-trained by the workflow, and with decoders that were fine-tuned on M_t."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fedfactory.config.parameters import read
from fedfactory.errors import FedFactoryError
from fedfactory.methods.foundation.model import read_card, write_pretrained
from fedfactory.methods.foundation.pretraining import pretrain
from fedfactory.methods.sam.network import Sam, build
from fedfactory.methods.sam.parameters import ORACLE, VIT_B, Normalisation, SamArchitecture, SamParameters
from fedfactory.methods.sam.tuning import DECODERS, SamSegmenter, segment_tasks
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.checkpoints import Checkpoints
from fedfactory.storage.files import new_folder, parse_json
from fedfactory.storage.state_dicts import load_weights, state_file, write_states
from fedfactory.storage.tensors import write_tensors
from fedfactory.training.loop import History
from fedfactory.training.seeds import derive_seed


def pretrain_sam(
    p: SamParameters,
    start: Path | None,
    seed: int,
    device: str,
    checkpoints: Checkpoints,
    out: Path,
    progress: Progress,
) -> None:
    """Pre-train a small SAM on procedural tasks, or go on from another one.

    Args:
        p: parameters with ``pretraining``.
        start: folder of the model to go on from; None to begin with ``p.architecture``.
        seed: of weights, tasks and batches.
        device: ``cpu`` or ``cuda``.
        checkpoints: where the training can go on from.
        out: folder of the model; written whole or not at all.
        progress: updated every step.
    """
    assert p.pretraining is not None, "checked for this choice of weights"
    if start is None:
        assert p.architecture is not None, "checked for this choice of weights"
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed("weights", seed))
            architecture = p.architecture
            sam = build(architecture, p.reads).to(device)
    else:
        sam, architecture = open_sam(start, p.reads, device), _architecture(start)
    # The prompt encoder's embedding of masks has no part in it: without a gradient it stays as it is.
    sam.requires_grad_(True)
    # Judged as SAM is used, and with the prompt of the rows, which does not say what part of an image is meant.
    also: dict[str, Any] = {} if p.prompt == ORACLE else {p.prompt: partial(segment_tasks, prompt=p.prompt)}
    history, dice = pretrain(
        sam, segment_tasks, p.pretraining, architecture.image_size, seed, checkpoints, progress, also
    )
    with new_folder(out) as folder:
        write_pretrained(folder, sam, history, dice, architecture=asdict(architecture))


def open_sam(weights: Path, normalisation: Normalisation, device: str) -> Sam:
    """Load a network from a folder that :func:`pretrain_sam` made, or from a published file of ViT-B.

    Args:
        weights: the folder or file.
        normalisation: of the images that it was trained on.
        device: ``cpu`` or ``cuda``.

    Raises:
        FedFactoryError: neither, or weights of another model.
    """
    folder = weights.is_dir()
    sam = build(_architecture(weights) if folder else VIT_B, normalisation).to(device)
    load_weights(sam, weights / "weights.pt" if folder else weights, device)
    return sam.requires_grad_(False).eval()


def write_decoders(folder: Path, decoders: nn.ModuleList, history: History, **card: Any) -> None:
    """Write fine-tuned decoders and their states into an existing folder; ``card`` is JSON that belongs to them."""
    write_tensors({name: value.cpu() for name, value in decoders.state_dict().items()}, folder / "weights.pt")
    write_states(folder, {step: state[DECODERS] for step, state in history.states.items()})
    (folder / "card.json").write_text(json.dumps({"classes": len(decoders), **card}, indent=1) + "\n")
    history.write(folder)


def read_segmenter(model: Path, weights: Path, device: str, step: int | None = None) -> SamSegmenter:
    """Read what :func:`write_decoders` wrote, with the network that it was tuned on.

    Args:
        model: the folder.
        weights: of the network.
        device: ``cpu`` or ``cuda``.
        step: of the state; None for the last one.

    Raises:
        FedFactoryError: no such folder, or weights of another model.
    """
    try:
        card: Mapping[str, Any] = parse_json((model / "card.json").read_text())
    except (OSError, ValueError):
        raise FedFactoryError(f"{model} holds no fine-tuned decoders; make it with the rule sam_tune") from None
    sam = open_sam(weights, card["normalisation"], device)
    decoders = nn.ModuleList(copy.deepcopy(sam.mask_decoder) for _ in range(card["classes"])).to(device)
    load_weights(decoders, model / ("weights.pt" if step is None else state_file(step)), device)
    return SamSegmenter(sam, decoders.requires_grad_(False).eval(), card["prompt"])


def _architecture(folder: Path) -> SamArchitecture:
    return read(SamArchitecture, read_card(folder)["architecture"], f"{folder}/card.json: architecture")
