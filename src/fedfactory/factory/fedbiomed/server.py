"""The factory at the server: see :class:`fedfactory.federation.engines.fedbiomed.trained.TrainedAtServer`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedfactory.errors import FedFactoryError
from fedfactory.factory.fedbiomed.folder import values_of
from fedfactory.factory.local_round import LOSS_COLUMNS
from fedfactory.factory.parameters import FactoryParameters
from fedfactory.factory.server import FactoryServer

loss_columns = LOSS_COLUMNS


def open_server(arguments: Mapping[str, Any], seed: int, work: Path) -> FactoryServer:
    """The server before the first round.

    Args:
        arguments: the factory's ``parameters``, and the name of the ``encoder`` that all keys must come from.
        seed: of the training.
        work: folder for snapshots.
    """
    return FactoryServer(FactoryParameters.from_json(arguments["parameters"]), seed, work)


def training_plan() -> type:
    """The class whose text is sent to the clients."""
    # Imports Fed-BioMed, which only the researcher's process does.
    from fedfactory.factory.fedbiomed.shipped import FactoryTrainingPlan

    return FactoryTrainingPlan


def announcement(client: str, announced: Mapping[str, Any]) -> Mapping[str, Any]:
    """What crossed when a client announced its key, as it is in the ledger."""
    return {"client": client, "key": values_of(announced)}


def check_announced(announced: Mapping[str, Mapping[str, Any]], arguments: Mapping[str, Any]) -> None:
    """Check that all keys come from the same encoder and weights.

    Raises:
        FedFactoryError: they do not, or a client announced no key.
    """
    encoder, digests = arguments["encoder"], {}
    for client, key in announced.items():
        try:
            made_by, digests[client] = key["encoder"], key["digest"]
            values_of(key)
        except (KeyError, TypeError, ValueError):
            raise FedFactoryError(f"the node of {client} announces no key; prepare it again") from None
        if made_by != encoder:
            raise FedFactoryError(f"the key of {client} was made by {made_by}, the configuration asks for {encoder}")
        first = next(iter(digests))
        if digests[client] != digests[first]:
            raise FedFactoryError(f"the keys of {first} and {client} were made by different weights of {encoder}")
