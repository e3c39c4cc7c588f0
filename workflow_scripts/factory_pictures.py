"""Draw a factory: samples over rounds, morphing between clients, quality; and write its tables."""

import argparse
import json
import math
from pathlib import Path

import numpy as np

from fedfactory.data.geometry import as_picture
from fedfactory.evaluation.figures import save
from fedfactory.evaluation.released_slices import read_preview
from fedfactory.factory.gallery import morphing, samples
from fedfactory.factory.model import Factory
from fedfactory.factory.pictures import draw_quality, draw_rows
from fedfactory.factory.report import read_quality, summary
from fedfactory.federation.ledger import read_ledger, totals
from fedfactory.orchestration.job import run_script
from fedfactory.storage.files import new_file
from fedfactory.storage.tables import to_markdown, write_rows


def _notes(factory: Factory, labels: dict[str, str]) -> str:
    notes = f"Keys of the clients by: {factory.card.encoder}.\n"
    if factory.card.parameters.network.client_zoom:
        zooms = ", ".join(f"{label} {math.exp(factory.zoom(client)):.2f}" for client, label in labels.items())
        notes += f"Learned magnification of the shared anatomy: {zooms}.\n"
    return notes


def main(arguments: argparse.Namespace) -> None:
    """Draw and write everything that a person looks at."""
    labels = json.loads(arguments.labels)
    factory = Factory(arguments.factory)
    measured, previews = json.loads(arguments.quality), json.loads(arguments.previews)
    quality = {label: read_quality(Path(measured[client])) for client, label in labels.items()}
    real = {client: [panel.image for panel in read_preview(Path(file))] for client, file in previews.items()}

    def upright(images: np.ndarray) -> list[np.ndarray]:
        return [as_picture(image, arguments.orientation) for image in images]

    blocks = [("real", [real[client] for client in labels])] if real else []
    blocks += [(title, [upright(row) for row in rows]) for title, rows in samples(factory, arguments.factory)]
    strips = morphing(factory, arguments.partner)
    figures = {
        "samples.png": draw_rows(blocks, list(labels.values())),
        "morphing.png": draw_rows(
            [(f"one z, from {labels[arguments.partner]}", [upright(row) for row in strips.values()])],
            [labels[client] for client in strips],
        ),
        "quality.png": draw_quality(quality),
    }
    for file, figure in figures.items():
        with new_file(arguments.out / file) as path:
            save(figure, path, ".png")
    ledger = [row for client in labels for row in read_ledger(arguments.factory / "sites" / client / "ledger.csv")]
    for file, rows in {"quality.csv": summary(quality), "ledger.csv": totals(ledger)}.items():
        with new_file(arguments.out / file) as path:
            write_rows(path, rows)
    with new_file(arguments.out / "quality.md") as path:
        path.write_text(f"{to_markdown(summary(quality))}\n{_notes(factory, labels)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--factory", type=Path, required=True, help="folder made by factory_train")
    parser.add_argument("--quality", required=True, help="client -> figures that it measured, as JSON")
    parser.add_argument("--labels", required=True, help="client -> label, as JSON")
    parser.add_argument("--previews", required=True, help="client -> real slices that it released, as JSON; or {}")
    parser.add_argument("--partner", required=True, help="client that morphing starts from")
    parser.add_argument("--orientation", required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of the pictures")
    run_script(parser, main)
