"""Which published weights there are: config/weights.yaml."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from fedfactory.config.files import read_yaml
from fedfactory.config.parameters import read
from fedfactory.errors import FedFactoryError
from fedfactory.storage.files import inside
from fedfactory.storage.weights import Weights

FOLDER = "weights"
"""Where the files lie, relative to the project."""


@dataclass(frozen=True)
class WeightsTable:
    """All entries.

    Attributes:
        entries: by name.
    """

    entries: dict[str, Weights]

    @classmethod
    def read(cls, project: Path) -> Self:
        """Read ``config/weights.yaml`` of a project.

        Raises:
            FedFactoryError: broken YAML, an unknown or missing key, or a file outside the folder.
        """
        name = "config/weights.yaml"
        values = read_yaml(project / name, name)
        entries = {key: read(Weights, value, key, name) for key, value in values.items()}
        for key, entry in entries.items():
            inside(project / FOLDER, entry.file, f"{name}: key '{key}.file'")
        return cls(entries)

    def entry(self, name: str, key: str) -> Weights:
        """The entry of a name that a configuration gives under ``key``.

        Raises:
            FedFactoryError: there is none.
        """
        if name not in self.entries:
            raise FedFactoryError(
                f"key '{key}': '{name}' is not in config/weights.yaml; known are {', '.join(self.entries)}"
            )
        return self.entries[name]

    def path(self, name: str) -> str:
        """Where the file of an entry lies, relative to the project."""
        return f"{FOLDER}/{self.entries[name].file}"

    def json(self, name: str) -> str:
        """An entry for the command line of a job."""
        return json.dumps(asdict(self.entries[name]))
