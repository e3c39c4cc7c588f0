"""Translate a target's test volumes to the source's look, and segment them by the source's nnU-Net."""

import argparse
from pathlib import Path

from fedfactory.data.store import ClientView
from fedfactory.evaluation.figures import save
from fedfactory.methods.contract import predict_cases
from fedfactory.methods.nnunet.inference import load_segmenter
from fedfactory.orchestration.job import run_script
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.files import new_file
from fedfactory.training.devices import DEVICES, prepare


def main(arguments: argparse.Namespace) -> None:
    """Predict all test volumes of one cell."""
    device = prepare(arguments.device)
    from fedfactory.methods.fedmedgan.pictures import draw_translation
    from fedfactory.methods.fedmedgan.training import TranslatingSegmenter, read_generator

    source = load_segmenter(arguments.source_model, device, arguments.mirroring)
    segment = TranslatingSegmenter(read_generator(arguments.model, device), source, device)
    view = ClientView(arguments.data)
    predict_cases(view, segment, arguments.out, Progress(f"predict {arguments.cell}"))
    volume = next(view.unlabelled_images())
    with new_file(arguments.picture) as path:
        save(draw_translation(segment, volume.images, arguments.orientation), path, ".png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder made by fedmedgan_train")
    parser.add_argument("--source-model", type=Path, required=True, help="the source's nnU-Net")
    parser.add_argument("--mirroring", action="store_true", help="average over flips, as stock nnU-Net does")
    parser.add_argument("--data", type=Path, required=True, help="the target's store")
    parser.add_argument("--device", choices=DEVICES, required=True)
    parser.add_argument("--cell", required=True, help="setup/client/method, for the progress")
    parser.add_argument("--orientation", required=True)
    parser.add_argument("--picture", type=Path, required=True, help="slices of the target and their translations")
    parser.add_argument("--out", type=Path, required=True)
    run_script(parser, main)
