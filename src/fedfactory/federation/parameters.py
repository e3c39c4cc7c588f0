"""Which engine trains a federation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fedfactory.config.parameters import STRICT
from fedfactory.config.sentences import Misfit


@dataclass(frozen=True, kw_only=True)
class EngineParameters:
    """Which engine trains a federation, and who runs its clients.

    Attributes:
        engine: ``simulated`` (processes of this job) or ``fedbiomed`` (researcher and nodes).
        mode: ``local`` (the job starts the nodes itself) or ``remote`` (sites run their nodes); Fed-BioMed only.
    """

    __pydantic_config__ = STRICT
    engine: Literal["simulated", "fedbiomed"] = "simulated"
    mode: Literal["local", "remote"] = "local"

    def __post_init__(self) -> None:
        """Check what one value demands of another."""
        if self.mode == "remote" and self.engine != "fedbiomed":
            raise Misfit("mode", "'remote' needs 'engine: fedbiomed'")
