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
from fedfactory.federation.updates import UPDATES, beside_each_other, read_updates
from fedfactory.orchestration.job import run_script
from fedfactory.storage.files import new_file
from fedfactory.storage.tables import to_markdown, write_rows

_UPDATES = """How each client moved the model, in the median of its rounds. Size: of its update beside the others' in
the same round. Direction: cosine with the update of the client that moved in the nearest one.
"""


def _notes(factory: Factory, labels: dict[str, str]) -> str:
    notes = f"Keys of the clients by: {factory.card.encoder}.\n"
    if factory.card.parameters.network.client_zoom:
        zooms = ", ".join(f"{label} {math.exp(factory.zoom(client)):.2f}" for client, label in labels.items())
        notes += f"Learned magnification of the shared anatomy: {zooms}.\n"
    return notes


def main(arguments: argparse.Namespace) -> None:
    """Draw and write everything that a person looks at."""
    p, factory = json.loads(arguments.parameters), Factory(arguments.factory)
    labels = p["labels"]
    quality = {label: read_quality(file) for label, file in zip(labels.values(), arguments.measured, strict=True)}
    real = [[panel.image for panel in read_preview(file)] for file in arguments.previews]

    def upright(images: np.ndarray) -> list[np.ndarray]:
        return [as_picture(image, p["orientation"]) for image in images]

    blocks = [("real", real)] if real else []
    blocks += [(title, [upright(row) for row in rows]) for title, rows in samples(factory, arguments.factory)]
    strips = morphing(factory, p["partner"])
    figures = {
        arguments.out: draw_rows(blocks, list(labels.values())),
        arguments.morphing: draw_rows(
            [(f"one z, from {labels[p['partner']]}", [upright(row) for row in strips.values()])],
            [labels[client] for client in strips],
        ),
        arguments.curves: draw_quality(quality),
    }
    for file, figure in figures.items():
        with new_file(file) as path:
            save(figure, path, ".png")
    ledger = [row for client in labels for row in read_ledger(arguments.factory / "sites" / client / "ledger.csv")]
    for file, rows in {arguments.quality: summary(quality), arguments.ledger: totals(ledger)}.items():
        with new_file(file) as path:
            write_rows(path, rows)
    moved = beside_each_other(read_updates(arguments.factory / UPDATES))
    with new_file(arguments.text) as path:
        path.write_text(f"{to_markdown(summary(quality))}\n{_notes(factory, labels)}\n{_UPDATES}\n{to_markdown(moved)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--factory", type=Path, required=True, help="folder made by factory_train")
    parser.add_argument("--measured", type=Path, nargs="+", required=True, help="figures that each client measured")
    parser.add_argument("--previews", type=Path, nargs="*", default=[], help="real slices that each client released")
    parser.add_argument(
        "--parameters",
        required=True,
        help="label of each client, partner that morphing starts from, orientation, as JSON",
    )
    parser.add_argument("--out", type=Path, required=True, help="samples over the rounds")
    parser.add_argument("--morphing", type=Path, required=True, help="one latent from client to client")
    parser.add_argument("--curves", type=Path, required=True, help="quality over the rounds, as a picture")
    parser.add_argument("--quality", type=Path, required=True, help="quality as CSV")
    parser.add_argument("--text", type=Path, required=True, help="the same as Markdown, with notes")
    parser.add_argument("--ledger", type=Path, required=True, help="what crossed borders of sites, as CSV")
    run_script(parser, main)
