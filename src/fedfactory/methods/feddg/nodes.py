"""FedDG at a node of Fed-BioMed: see :class:`fedfactory.methods.federated.nodes.NodeMethod`."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from fedfactory.config.parameters import read
from fedfactory.federation.engines.fedbiomed.folder import read_arrays, stamp
from fedfactory.methods.feddg.client import FedDGClient, arrays_of, data_of
from fedfactory.methods.feddg.parameters import FedDGParameters
from fedfactory.methods.federated.network import FeatureUNet
from fedfactory.methods.federated.nodes import client_in
from fedfactory.methods.federated.segmentation import ClientSlices
from fedfactory.orchestration.labels import TRAINING

__all__ = ["LABELS", "arrays_of", "build_model", "open_client"]

LABELS = TRAINING


def build_model(arguments: Mapping[str, Any]) -> nn.Module:
    """The model whose weights cross."""
    p = _parameters(arguments)
    return FeatureUNet(p.features, p.convolutions, arguments["classes"])


def open_client(folder: Path, arguments: Mapping[str, Any], seed: int, device: str) -> FedDGClient:
    """A client before a round, in the state of one that never took part.

    Raises:
        FedFactoryError: the folder is that of another client.
    """
    client, p = client_in(folder, arguments), _parameters(arguments)
    slices, share = _data(folder, stamp(folder), client, json.dumps(arguments["parameters"]), seed)
    return FedDGClient(client, arguments["clients"], slices, share, arguments["classes"], p, seed, device)


# A node lives longer than a round: deformed copies are made once.
@functools.lru_cache(maxsize=1)
def _data(folder: Path, stamped: int, client: str, parameters: str, seed: int) -> tuple[ClientSlices, np.ndarray]:
    return data_of(read_arrays(folder), client, read(FedDGParameters, json.loads(parameters), "parameters"), seed)


def _parameters(arguments: Mapping[str, Any]) -> FedDGParameters:
    return read(FedDGParameters, arguments["parameters"], "parameters")
