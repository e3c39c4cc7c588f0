"""Where the weights of a foundation model come from, for the rules of its methods."""

from __future__ import annotations

from fedfactory.config.run import Config
from fedfactory.storage.weights_choice import TINY
from fedfactory.storage.weights_table import WeightsTable


def weights_input(config: Config, method: str, weights: str) -> str:
    """What a job that uses the weights waits for: the workflow's own model, or the record of a checked file."""
    return config.layout.foundation(method) if weights == TINY else config.layout.weights(weights)


def weights_path(config: Config, table: WeightsTable, method: str, weights: str) -> str:
    """What such a job reads: a folder, or a file."""
    return config.layout.foundation(method) if weights == TINY else table.path(weights)
