"""A client's part in the federated training of the factory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from fedfactory.factory.client_data import load_client
from fedfactory.factory.local_round import LOSS_COLUMNS, ClientImages, LocalState, local_round
from fedfactory.factory.networks import FactoryModel
from fedfactory.factory.parameters import FactoryParameters
from fedfactory.federation.client import Message
from fedfactory.federation.message import WEIGHTS, Allowlist, Form


def factory_allowlist(parameters: FactoryParameters, weights: Mapping[str, Tensor]) -> Allowlist:
    """All that crosses a border when a factory is trained: the model, a client's name, and its CLIP key."""
    fields = Allowlist.of(parameters.clients, **{WEIGHTS: weights}).fields
    key = Form("key", (parameters.network.key_size,), "float32")
    return Allowlist(parameters.clients, {**fields, "key": (key,)})


class FactoryClient:
    """See :class:`fedfactory.federation.client.FederatedClient`."""

    loss_columns = LOSS_COLUMNS

    def __init__(
        self, client: str, images: ClientImages, parameters: FactoryParameters, seed: int, device: str
    ) -> None:
        """Start anew with a client's data."""
        self._client, self._images, self._parameters, self._seed = client, images, parameters, seed
        self._model = FactoryModel(parameters.network).to(device)
        self._state = LocalState(self._model, parameters.training)
        self.allowlist = factory_allowlist(parameters, self._model.state_dict())

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the images and the key."""
        content = hashlib.sha256(np.ascontiguousarray(self._images.images).data)
        content.update(self._images.key.cpu().numpy().data)
        return content.hexdigest()

    def announcement(self) -> Mapping[str, Any]:
        """What later stages need of a client besides the model: its name and its key."""
        return {"client": self._client, "key": self._images.key.cpu()}

    def answer(self, round_number: int, phase: str, message: Message) -> tuple[Message, Mapping[str, float]]:
        """Train for one round."""
        self._model.load_state_dict(message[WEIGHTS])
        losses = local_round(self._model, self._state, self._images, self._parameters, self._seed, round_number)
        return {WEIGHTS: {name: value.cpu() for name, value in self._model.state_dict().items()}}, losses

    def own_weights(self) -> Mapping[str, Tensor]:
        """None: the whole model is shared."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """What the client keeps from round to round."""
        return self._state.state_dict(self._parameters.federation.persistent_optimisers)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where :meth:`state_dict` was taken."""
        self._state.load_state_dict(state)


def open_client(client: str, arguments: Mapping[str, Any], seed: int, device: str) -> FactoryClient:
    """Open a client's store.

    Args:
        client: its name.
        arguments: its store (``data``), its key (``key``), parameters of the key's ``encoder``, and ``parameters``.
        seed: of the training.
        device: ``cpu`` or ``cuda``.

    Raises:
        FedFactoryError: bad data.
    """
    parameters = FactoryParameters.from_json(arguments["parameters"])
    data, key = Path(arguments["data"]), arguments["key"]
    images = load_client(client, data, None if key is None else Path(key), arguments["encoder"], parameters, device)
    return FactoryClient(client, images, parameters, seed, device)
