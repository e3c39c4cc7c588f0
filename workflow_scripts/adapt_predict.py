"""Predict a target's test volumes with its adapted branches, and draw what the adaptation does."""

import argparse
from dataclasses import replace
from pathlib import Path

from fedfactory.data.store import ClientView
from fedfactory.evaluation.figures import save
from fedfactory.methods.contract import predict_cases
from fedfactory.orchestration.job import run_script
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.files import new_file
from fedfactory.training.devices import DEVICES, prepare


def main(arguments: argparse.Namespace) -> None:
    """Predict all test volumes of one cell."""
    device = prepare(arguments.device)
    from fedfactory.methods.ours.encoder import SOURCE, TARGET
    from fedfactory.methods.ours.model import read_networks
    from fedfactory.methods.ours.pictures import draw_adaptation, draw_curves, read_curves
    from fedfactory.methods.ours.segmenter import Compared

    view = ClientView(arguments.data)
    stored = read_networks(arguments.model, arguments.factory, device, "adapt")
    segment = Compared(stored.segmenter((SOURCE, TARGET)), tuple(stored.card["read_at_inference"]))
    cases = predict_cases(view, segment, arguments.out, Progress(f"predict {arguments.cell}"))
    with new_file(arguments.agreement) as path:
        rows = [f"{case},{dice:.6f}\n" for case, dice in zip(cases, segment.agreement, strict=True)]
        path.write_text("".join(["case,dice\n", *rows]))
    # Slices of M_t that were not used are not shown either.
    slices = next(view.unlabelled_images())
    if count := stored.card["labelled_slices"]:
        m_t = view.few_shot()
        slices = replace(m_t, images=m_t.images[:count], labels=m_t.labels[:count])
    with new_file(arguments.picture) as path:
        save(draw_adaptation(stored, slices, arguments.orientation), path, ".png")
    with new_file(arguments.curves) as path:
        save(draw_curves(*read_curves(arguments.model), stored.card["perceptual"]["name"]), path, ".png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--factory", type=Path, required=True, help="folder made by factory_train")
    parser.add_argument("--model", type=Path, required=True, help="folder made by adapt")
    parser.add_argument("--data", type=Path, required=True, help="the target's store")
    parser.add_argument("--device", choices=DEVICES, required=True)
    parser.add_argument("--cell", required=True, help="setup/client/method, for the progress")
    parser.add_argument("--orientation", required=True)
    parser.add_argument("--picture", type=Path, required=True, help="slices on their way through the networks")
    parser.add_argument("--curves", type=Path, required=True, help="losses and validation Dice of the adaptation")
    parser.add_argument("--agreement", type=Path, required=True, help="Dice between both branches' masks of each case")
    parser.add_argument("--out", type=Path, required=True)
    run_script(parser, main)
