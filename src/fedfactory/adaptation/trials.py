"""Short trials that choose the field of view of an adaptation."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from torch import nn

from fedfactory.adaptation.encoder import SOURCE
from fedfactory.adaptation.frame import Frame
from fedfactory.adaptation.site_data import Site, target_networks
from fedfactory.adaptation.target import TargetData, adapt
from fedfactory.checkpoints import Checkpoints
from fedfactory.files import new_file
from fedfactory.progress import Progress


def try_frames(
    site: Site, perceptual: nn.Module, seed: int, scratch: Path, progress: Progress
) -> tuple[TargetData, dict[float, float]]:
    """Choose the field of view by short trials, judged on the target's validation volumes.

    Args:
        site: the target.
        perceptual: LPIPS.
        seed: of weights and batches.
        scratch: folder of this very training, where finished trials are noted.
        progress: updated every step of a trial.

    Returns:
        The data in the chosen frame, and the validation Dice of each trial by the frame's zoom; empty if there was
        nothing to choose.
    """
    frames, tried = site.frames(), {}
    if len(frames) == 1:
        return site.data(frames[0]), tried
    schedule = replace(site.p.schedule, steps=site.p.trial, decay_at=1.0, validations=1)
    notes = scratch / "tried.json"
    if notes.is_file():
        tried = {float(zoom): dice for zoom, dice in json.loads(notes.read_text()).items()}
    for number, frame in enumerate(frames):
        if frame.zoom in tried:
            continue
        translator, branch = target_networks(site.source, site.look, site.p, seed)
        source_branch, p = site.source.branches[SOURCE], replace(site.p, schedule=schedule)
        checkpoints = Checkpoints(scratch / f"trial{number}", f"trial {frame.zoom}")
        history = adapt(translator, source_branch, branch, site.data(frame), p, perceptual, seed, checkpoints, progress)
        tried[frame.zoom] = max((dice for _, _, dice in history.validations), default=0.0)
        checkpoints.remove()
        with new_file(notes) as file:
            file.write_text(json.dumps(tried))
    return site.data(Frame(max(tried, key=tried.get))), tried
