"""What the jobs that make, find and prepare a client's data are told, worked out from the configuration."""

from collections.abc import Mapping
from typing import Any

from fedfactory.config.run import Config
from fedfactory.data.formats import LARGEST


def phantom_site(config: Config, wildcards: Mapping[str, str]) -> dict[str, Any]:
    """Which phantom site to write, and of what size."""
    sizes = {key: config.data[key] for key in ("seed", "subjects", "size", "slices")}
    return {"setup": wildcards["setup"], "client": wildcards["client"], **sizes}


def made_raw(config: Config, wildcards: Mapping[str, str]) -> list[str]:
    """The raw folder that the workflow makes; none for real releases."""
    return [config.layout.client(wildcards["setup"], wildcards["client"], "raw")] if config.phantom else []


def release(config: Config, wildcards: Mapping[str, str]) -> str:
    """Where a client's part of a real release lies; named, no input: it need not be there to plan a run."""
    return "" if config.phantom else config.raw_folder(wildcards["setup"], wildcards["client"]).as_posix()


def preparation(config: Config, wildcards: Mapping[str, str]) -> dict[str, Any]:
    """How a client's raw data are read, and what is prepared of them."""
    setup, client = wildcards["setup"], wildcards["client"]
    entry = config.setups[setup].clients[client]
    return {"adapter": entry.adapter, "options": dict(entry.options), "task": client_task(config, setup, client)}


def client_task(config: Config, setup: str, client: str) -> dict[str, Any]:
    """What to prepare, for :meth:`fedfactory.data.preprocessing.ClientTask.from_json`."""
    entry = config.setups[setup]
    return {
        "setup": setup,
        "client": client,
        "classes": entry.classes,
        "label_values": entry.clients[client].label_values,
        "orientation": entry.orientation,
        "split": dict(config.split),
        "few_shot": config.few_shot if client in entry.targets else 0,
        "needs_labels": client == entry.source,
        "scored": entry.clients[client].scored,
        "seed": config.data["seed"],
        "tiles": entry.clients[client].tiles,
        "largest": round(config.data.get("largest_mvoxel", LARGEST / 1e6) * 1e6),
        **config.preprocessing,
    }
