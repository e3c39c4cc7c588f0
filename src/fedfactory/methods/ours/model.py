"""Trained networks as folders: what the source shares, and what an adaptation leaves.

::

    card.json       architecture, classes, digest of the factory, and what else belongs to the weights
    weights.pt      state dicts of the encoder and of each branch, tensors only; F's weights are not repeated
    states/         of an adaptation: E_t and S_t on the way, of which validation volumes may choose one
    losses.csv      terms of the loss over the training
    validation.csv  of a source branch: validation Dice over the training, and which state was taken
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fedfactory.config.parameters import read
from fedfactory.errors import FedFactoryError
from fedfactory.factory.model import Factory, snapshot_name
from fedfactory.methods.ours.architecture import Architecture
from fedfactory.methods.ours.branch import SegmentationBranch
from fedfactory.methods.ours.encoder import DOMAINS, TARGET
from fedfactory.methods.ours.field_of_view import FieldOfView
from fedfactory.methods.ours.segmenter import BranchSegmenter
from fedfactory.methods.ours.translator import Translator
from fedfactory.storage.files import parse_json
from fedfactory.storage.state_dicts import read_state_dict, state_file, write_states
from fedfactory.storage.tensors import read_tensors, write_tensors
from fedfactory.training.loop import History

ENCODER, BRANCH = "encoder", "branch"
"""Names of E_t and S_t among the networks of an adaptation."""

# What the card of each rule's networks has and the other's lacks.
_NEEDED = {"source_branch": "limits", "adapt": "read_at_inference"}


@dataclass(frozen=True)
class Stored:
    """A folder's content.

    Attributes:
        architecture: of its networks.
        card: everything else that the card says.
        factory: that they were trained with.
        translator: the encoder, loaded, and the factory.
        branches: label of a domain -> its branch, loaded.
    """

    architecture: Architecture
    card: Mapping[str, Any]
    factory: Factory
    translator: Translator
    branches: Mapping[int, SegmentationBranch]

    def segmenter(self) -> BranchSegmenter:
        """An adapted target's segmenter, by both branches."""
        frame, symmetries = FieldOfView(self.card["frame"]), self.card["symmetries"]
        return BranchSegmenter(self.translator, dict(self.branches), TARGET, frame, symmetries)

    def go_to(self, folder: Path, step: int) -> None:
        """Put the weights of an adaptation's state, which its folder keeps, into E_t and S_t.

        Raises:
            FedFactoryError: the folder keeps no such state, or one of other networks.
        """
        file = folder / state_file(step)
        state = read_state_dict(file, str(self.translator.means.device), advice="make it with the rule adapt")
        networks = {ENCODER: self.translator.encoder, BRANCH: self.branches[TARGET]}
        try:
            for name, network in networks.items():
                prefix = f"{name}."
                own = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
                network.load_state_dict(own)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise FedFactoryError(f"{file} belongs to other networks ({reason}); make it with the rule adapt") from None


def write_networks(
    folder: Path,
    architecture: Architecture,
    translator: Translator,
    branches: Mapping[int, SegmentationBranch],
    history: History,
    **card: Any,
) -> None:
    """Write networks into an existing folder; ``card`` is JSON that belongs to them."""
    state = {"translator": translator.state_dict()}
    state |= {DOMAINS[label]: branch.state_dict() for label, branch in branches.items()}
    weights = {part: {k: v.cpu() for k, v in own.items()} for part, own in state.items()}
    write_tensors(weights, folder / "weights.pt")
    states = {
        step: {f"{name}.{key}": value for name, own in kept.items() for key, value in own.items()}
        for step, kept in history.states.items()
    }
    write_states(folder, states)
    content = {"architecture": asdict(architecture), **card}
    (folder / "card.json").write_text(json.dumps(content, indent=1) + "\n")
    history.write(folder)


def open_factory(folder: Path, variant: str, device: str) -> Factory:
    """Load a factory: the ``trained`` generator, or the ``untrained`` one that its training started from."""
    file = folder / "snapshots" / snapshot_name(0) if variant == "untrained" else folder / "generator.pt"
    if (folder / "card.json").is_file() and not file.is_file():
        raise FedFactoryError(f"{file} is missing: the folder holds no {variant} factory; copy it whole")
    try:
        return Factory(folder, device, file)
    except FedFactoryError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise FedFactoryError(f"{file} is no table of weights of its factory ({reason}); copy it again") from None


def read_networks(folder: Path, factory: Path, device: str, rule: str) -> Stored:
    """Read what :func:`write_networks` wrote; nothing in it is executed.

    Args:
        folder: of the networks.
        factory: folder of the factory that they were trained with.
        device: ``cpu`` or ``cuda``.
        rule: that makes such a folder, for messages.

    Raises:
        FedFactoryError: no such folder, a file that is no table of weights, or another factory.
    """
    advice, needed = f"make it with the rule {rule}", _NEEDED[rule]
    if not (folder / "card.json").is_file():
        raise FedFactoryError(f"{folder} holds no networks: card.json is missing; {advice}")
    try:
        card = parse_json((folder / "card.json").read_text())
        architecture = read(Architecture, card.pop("architecture"), "architecture")
    except (ValueError, KeyError, AttributeError, TypeError, FedFactoryError) as error:
        raise FedFactoryError(f"{folder}/card.json is no card of networks ({error}); {advice}") from None
    if needed not in card:
        raise FedFactoryError(f"{folder} holds networks of another kind; {advice}")
    opened = open_factory(factory, architecture.variant, device)
    if opened.digest != architecture.factory:
        raise FedFactoryError(
            f"{folder} was trained with another factory (weights {architecture.factory[:12]}) than {factory} (weights "
            f"{opened.digest[:12]}, {opened.card.parameters.network.image_size} pixels); take both from one run"
        )
    translator = architecture.translator(opened)
    state = read_tensors(folder / "weights.pt", device, advice=advice)
    try:
        translator.load_state_dict(state.pop("translator"))
        branches = {DOMAINS.index(name): architecture.branch(translator) for name in state}
        for name, weights in state.items():
            branches[DOMAINS.index(name)].load_state_dict(weights)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise FedFactoryError(f"{folder}/weights.pt is no table of weights of its card ({reason}); {advice}") from None
    for network in (translator, *branches.values()):
        network.requires_grad_(False).eval()
    return Stored(architecture, card, opened, translator, branches)
