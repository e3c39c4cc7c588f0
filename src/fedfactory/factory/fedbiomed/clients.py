"""The factory's training at a node: see :class:`fedfactory.federation.engines.fedbiomed.trained.TrainedAtNode`."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from fedfactory.factory.client import FactoryClient
from fedfactory.factory.fedbiomed.folder import read_images
from fedfactory.factory.local_round import ClientImages
from fedfactory.factory.networks import FactoryModel
from fedfactory.factory.parameters import FactoryParameters
from fedfactory.federation.engines.fedbiomed.folder import read_description, stamp


def build_model(arguments: Mapping[str, Any]) -> nn.Module:
    """The model whose weights cross; ``arguments`` hold the factory's ``parameters``."""
    return FactoryModel(FactoryParameters.from_json(arguments["parameters"]).network)


def open_client(folder: Path, arguments: Mapping[str, Any], seed: int, device: str) -> FactoryClient:
    """A client before a round, in the state of one that never took part.

    Raises:
        FedFactoryError: the folder does not fit the factory.
    """
    parameters = FactoryParameters.from_json(arguments["parameters"])
    images = _images(folder, stamp(folder), json.dumps(arguments["parameters"]), device)
    return FactoryClient(parameters.clients[images.index], images, parameters, seed, device)


# A node lives longer than a round: reading thousands of images, or an encoder, once is enough.
@functools.lru_cache(maxsize=1)
def _images(folder: Path, stamped: int, parameters: str, device: str) -> ClientImages:
    return read_images(folder, read_description(folder), FactoryParameters.from_json(json.loads(parameters)), device)
