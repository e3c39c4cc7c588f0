"""Slices that a client releases for pictures."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Panel:
    """A released slice: arrays (h, w), top row first.

    Attributes:
        image: grey values.
        truth: labels.
        prediction: labels, or None.
        aspect: height of a pixel divided by its width.
        title: what stands above it.
    """

    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray | None = None
    aspect: float = 1.0
    title: str = ""


def grey_values(image: np.ndarray) -> np.ndarray:
    """Intensities as uint8, from black at the percentile 0.5 to white at 99.5."""
    low, high = np.percentile(image, (0.5, 99.5))
    return np.clip((image - low) / max(high - low, 1e-6) * 255, 0, 255).astype(np.uint8)


def write_panels(panels: Mapping[str, Panel], out: Path) -> None:
    """Write named panels, each with a prediction, as ``.npz`` without pickle: ``<name>.image`` and so on."""
    arrays: dict[str, Any] = {}
    for name, panel in panels.items():
        values = (panel.image, panel.truth, panel.prediction, np.float64(panel.aspect), np.str_(panel.title))
        fields = ("image", "truth", "prediction", "aspect", "title")
        arrays |= {f"{name}.{field}": value for field, value in zip(fields, values, strict=True)}
    with out.open("wb") as file:
        np.savez(file, **arrays)


def read_panels(file: Path) -> dict[str, Panel]:
    """Read what :func:`write_panels` wrote."""
    with np.load(file, allow_pickle=False) as data:
        return {
            name: Panel(
                image=data[f"{name}.image"],
                truth=data[f"{name}.truth"],
                prediction=data[f"{name}.prediction"],
                aspect=float(data[f"{name}.aspect"]),
                title=str(data[f"{name}.title"]),
            )
            for name in dict.fromkeys(key.rpartition(".")[0] for key in data.files)
        }


def read_preview(file: Path) -> list[Panel]:
    """Read the training slices that a client released for the gallery."""
    with np.load(file, allow_pickle=False) as data:
        return [Panel(image, label) for image, label in zip(data["images"], data["labels"], strict=True)]
