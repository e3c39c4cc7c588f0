"""Where a training job keeps what a resumed one needs."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from fedfactory.storage.checkpoints import Checkpoints
from fedfactory.storage.files import work_folder


def checkpoints_of(arguments: argparse.Namespace, factory: str, inputs: Iterable[Path]) -> Checkpoints:
    """Checkpoints of a training job, beside its result.

    Snakemake clears the result of a killed job, and this must outlive it. They belong to exactly this training: other
    parameters, code, factory or input files start anew.

    Args:
        arguments: of the script: ``parameters``, ``cell``, ``seed``, ``device``, ``code`` and ``out``.
        factory: digest of the factory's weights.
        inputs: folders and files that the training reads.
    """
    digest = hashlib.sha256()
    for place in inputs:
        inside = [path for path in place.rglob("*") if path.is_file() and not path.name.startswith(".")]
        for file in sorted(inside) if place.is_dir() else [place]:
            digest.update(f"{file.relative_to(place)}\0".encode())
            with file.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
    parts = (arguments.parameters, arguments.cell, arguments.seed, arguments.device, arguments.code, factory)
    identity = json.dumps([*parts, digest.hexdigest()])
    return Checkpoints(work_folder(arguments.out), identity)
