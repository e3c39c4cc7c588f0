"""Clients of federated averaging: those that train on their labels, and those that have none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from fedfactory.config.parameters import read
from fedfactory.data.store import ClientView
from fedfactory.federation.client import Message
from fedfactory.federation.message import WEIGHTS, Allowlist
from fedfactory.methods.fedavg.parameters import FedAvgParameters
from fedfactory.methods.federated.network import normalisation_of
from fedfactory.methods.federated.segmentation import ClientSlices, SegmentationClient
from fedfactory.orchestration.labels import NONE, TRAINING
from fedfactory.training.augmentation import jittered
from fedfactory.training.losses import faded_in


def open_client(client: str, arguments: Mapping[str, Any], seed: int, device: str) -> SegmentationClient:
    """Open a client's store.

    Args:
        client: its name.
        arguments: its store (``data``), the names of all ``clients``, the source first, and ``parameters``.
        seed: of the training.
        device: ``cpu`` or ``cuda``.

    Raises:
        FedFactoryError: bad data.
    """
    p = read(FedAvgParameters, arguments["parameters"], "parameters")
    labelled = p.unlabelled is None or client == arguments["clients"][0]
    view = ClientView(Path(arguments["data"]), TRAINING if labelled else NONE)
    slices = ClientSlices.labelled(view, client, p, seed) if labelled else ClientSlices.unlabelled(view, p)
    kind = AveragedClient if labelled else TaughtClient
    return kind(client, arguments["clients"], slices, len(view.classes), p, seed, device)


class AveragedClient(SegmentationClient):
    """A client that trains on its labels, and does not go far from where a round began if ``proximal`` says so."""

    def __init__(
        self,
        client: str,
        clients: Sequence[str],
        slices: ClientSlices,
        classes: int,
        p: FedAvgParameters,
        seed: int,
        device: str,
    ) -> None:
        super().__init__(client, clients, slices, classes, p, seed, device)
        self._p = p
        self._own = own_names(self.network, p)
        self._received: dict[str, Tensor] = {}
        self.allowlist = Allowlist.of(tuple(clients), **{WEIGHTS: shared(self.network, p)})

    def answer(self, round_number: int, phase: str, message: Message) -> tuple[Message, Mapping[str, float] | None]:
        """Train for one round; what stays at the client is as it was after its last one."""
        whole = {**message[WEIGHTS], **self.own_weights()}
        self._received = {name: value.to(self._device, copy=True) for name, value in whole.items()}
        answer, losses = super().answer(round_number, phase, {WEIGHTS: self._received})
        return {WEIGHTS: {name: value for name, value in answer[WEIGHTS].items() if name not in self._own}}, losses

    def own_weights(self) -> Mapping[str, Tensor]:
        """What of the network is not shared."""
        return {name: value for name, value in self.network.state_dict().items() if name in self._own}

    def state_dict(self) -> dict[str, Any]:
        """The moments of Adam, and what of the network is not shared."""
        return {**super().state_dict(), "own": self.own_weights()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where :meth:`state_dict` was taken."""
        super().load_state_dict(state)
        self.network.load_state_dict(state["own"], strict=False)

    def loss(self, stream: np.random.Generator) -> Tensor:
        """Loss of a step."""
        loss = self.own_loss(stream)
        if self._p.proximal:
            loss = loss + self._p.proximal / 2 * squared_distance(self.network, self._received)
        return loss

    def own_loss(self, stream: np.random.Generator) -> Tensor:
        """Loss of a batch, without the proximal term: of the masks."""
        return super().loss(stream)


class TaughtClient(AveragedClient):
    """A client without labels: its student agrees with the average of its own weights, its teacher."""

    loss_columns = ("consistency",)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        assert self._p.unlabelled is not None, "labels are those of all clients"
        self._taught = self._p.unlabelled
        self._teacher: dict[str, Tensor] = {}

    def answer(self, round_number: int, phase: str, message: Message) -> tuple[Message, Mapping[str, float] | None]:
        """Train for one round, at a rate of its own."""
        for group in self._adam.param_groups:
            group["lr"] = self._taught.learning_rate * faded_in(round_number, self._p.rounds, self._taught.ramp)
        return super().answer(round_number, phase, message)

    def own_loss(self, stream: np.random.Generator) -> Tensor:
        """Consistency of a batch; the teacher reads it as it is, and moves towards the student before."""
        student = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        before = self._teacher or student
        self._teacher = {name: before[name].lerp(value, 1 - self._taught.teacher) for name, value in student.items()}
        (images,) = self.on_device(self._slices.images[stream.integers(len(self._slices.images), size=self._batch)])
        with torch.no_grad():
            taught = torch.func.functional_call(self.network, self._teacher, images)[0].softmax(1)
        noise = torch.Generator().manual_seed(int(stream.integers(2**31)))
        found = self.network(jittered(images, self._taught.jitter, noise))[0].softmax(1)
        return mse_loss(found, taught)

    def state_dict(self) -> dict[str, Any]:
        """That of any client, and the teacher."""
        return {**super().state_dict(), "teacher": self._teacher}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where :meth:`state_dict` was taken."""
        super().load_state_dict(state)
        self._teacher = {name: value.to(self._device) for name, value in state["teacher"].items()}


def own_names(network: torch.nn.Module, p: FedAvgParameters) -> frozenset[str]:
    """Names of what a client keeps of a network for itself: its normalisation, or nothing."""
    return normalisation_of(network) if p.own_normalisation else frozenset()


def shared(network: torch.nn.Module, p: FedAvgParameters) -> dict[str, Tensor]:
    """What of a network all clients share."""
    own = own_names(network, p)
    return {name: value for name, value in network.state_dict().items() if name not in own}


def squared_distance(network: torch.nn.Module, weights: Mapping[str, Tensor]) -> Tensor:
    """Sum of the squared differences of a network's parameters to a state dict of it."""
    parts = [((parameter - weights[name]) ** 2).sum() for name, parameter in network.named_parameters()]
    return torch.stack(parts).sum()
