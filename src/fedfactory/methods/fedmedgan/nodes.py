"""FedMed-GAN at a node of Fed-BioMed: see :class:`fedfactory.methods.federated.nodes.NodeMethod`."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from fedfactory.config.parameters import read
from fedfactory.federation.engines.fedbiomed.folder import read_arrays, stamp
from fedfactory.methods.federated.nodes import client_in
from fedfactory.methods.fedmedgan.client import FedMedGanClient, arrays_of, slices_of
from fedfactory.methods.fedmedgan.networks import make_generators
from fedfactory.methods.fedmedgan.parameters import FedMedGanParameters
from fedfactory.orchestration.labels import NONE

__all__ = ["LABELS", "arrays_of", "build_model", "open_client"]

LABELS = NONE


def build_model(arguments: Mapping[str, Any]) -> nn.Module:
    """The model whose weights cross: both generators."""
    return make_generators(_parameters(arguments))


def open_client(folder: Path, arguments: Mapping[str, Any], seed: int, device: str) -> FedMedGanClient:
    """A client before a round, in the state of one that never took part.

    Raises:
        FedFactoryError: the folder is that of another client.
    """
    client, p = client_in(folder, arguments), _parameters(arguments)
    return FedMedGanClient(client, arguments["clients"], _images(folder, stamp(folder)), p, seed, device)


# A node lives longer than a round.
@functools.lru_cache(maxsize=1)
def _images(folder: Path, stamped: int) -> Tensor:
    return slices_of(read_arrays(folder))


def _parameters(arguments: Mapping[str, Any]) -> FedMedGanParameters:
    return read(FedMedGanParameters, arguments["parameters"], "parameters")
