"""Short trials that choose the field of view of an adaptation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import nn

from fedfactory.adaptation.encoder import SOURCE
from fedfactory.adaptation.frame import Frame
from fedfactory.adaptation.site_data import Site, target_networks
from fedfactory.adaptation.target import TargetData, adapt
from fedfactory.checkpoints import Checkpoints
from fedfactory.progress import Progress


def try_frames(
    site: Site, perceptual: nn.Module, seed: int, scratch: Path, progress: Progress
) -> tuple[TargetData, dict[float, float]]:
    """Choose the field of view by short trials, judged on the target's validation volumes.

    Args:
        site: the target.
        perceptual: LPIPS.
        seed: of weights and batches.
        scratch: folder for the trials' checkpoints.
        progress: updated every step of a trial.

    Returns:
        The data in the chosen frame, and the validation Dice of each trial by the frame's zoom; empty if there was
        nothing to choose.
    """
    frames, tried = site.frames(), {}
    if len(frames) == 1:
        return site.data(frames[0]), tried
    schedule = replace(site.p.schedule, steps=site.p.trial, decay_at=1.0, validations=1)
    for frame in frames:
        translator, branch = target_networks(site.source, site.look, site.p, seed)
        checkpoints = Checkpoints(scratch, f"trial {frame.zoom}")
        p = replace(site.p, schedule=schedule)
        history = adapt(
            translator,
            site.source.branches[SOURCE],
            branch,
            site.data(frame),
            p,
            perceptual,
            seed,
            checkpoints,
            progress,
        )
        tried[frame.zoom] = max((dice for _, _, dice in history.validations), default=0.0)
        checkpoints.remove()
    return site.data(Frame(max(tried, key=tried.get))), tried
