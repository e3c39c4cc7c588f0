"""The folder of one client: all that its node reads.

::

    client.json     the client, what it announces, and where the node and its records are
    NAME.npy        arrays of what is trained
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fedfactory.errors import FedFactoryError
from fedfactory.storage.files import new_folder, parse_json

# By this tag the server finds the data sets of clients, by their names the clients.
TAG = "fedfactory"
# Where the server writes down what the clients announced.
ANNOUNCED = "announced.json"
DESCRIPTION = "client.json"


@dataclass(frozen=True)
class NodeDescription:
    """What ``client.json`` says.

    Attributes:
        client: name of the client.
        announced: what crosses when the node is asked for its data set; plain values.
        node: folder of the node.
        records: folder for the ledger and the losses; ``{experiment}`` in it stands for Fed-BioMed's id of a training.
        own: what else the training needs to know at this client, and never sends.
    """

    client: str
    announced: Mapping[str, Any]
    node: str
    records: str
    own: Mapping[str, Any]

    def records_of(self, experiment: str) -> Path:
        """Folder for the ledger and the losses of one training."""
        return Path(self.records.replace("{experiment}", experiment))


def write_folder(folder: Path, description: NodeDescription, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a client's folder.

    Args:
        folder: replaced.
        description: what ``client.json`` will say.
        arrays: by name.
    """
    with new_folder(folder) as new:
        for name, array in arrays.items():
            np.save(new / f"{name}.npy", array, allow_pickle=False)
        (new / DESCRIPTION).write_text(json.dumps(vars(description), indent=1) + "\n")


def read_description(folder: Path) -> NodeDescription:
    """Read ``client.json``.

    Raises:
        FedFactoryError: the folder is none of a client.
    """
    try:
        return NodeDescription(**parse_json((folder / DESCRIPTION).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise FedFactoryError(f"{folder} is no folder of a client ({error}); prepare it again") from None


def read_arrays(folder: Path) -> dict[str, np.ndarray]:
    """All arrays of a client's folder, by name."""
    return {path.stem: np.load(path, allow_pickle=False) for path in sorted(folder.glob("*.npy"))}


def stamp(folder: Path) -> int:
    """A number that changes when the folder is prepared again."""
    return (folder / DESCRIPTION).stat().st_mtime_ns


def folder_digest(folder: Path) -> str:
    """SHA-256 of what a training depends on: the arrays, and what the client announces."""
    digest = hashlib.sha256(json.dumps(read_description(folder).announced).encode())
    for path in sorted(folder.glob("*.npy")):
        with path.open("rb") as file:
            digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
