"""What leaves the source, and what it gives away: its branch, and the synthetic source set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedfactory.data.store import ClientView, Volume
from fedfactory.factory.privacy import ClientData, attack_row, repeats
from fedfactory.methods.ours.encoder import SOURCE
from fedfactory.methods.ours.field_of_view import FieldOfView
from fedfactory.methods.ours.model import read_networks
from fedfactory.methods.ours.segmenter import BranchSegmenter
from fedfactory.methods.ours.synthetic import SyntheticSet

if TYPE_CHECKING:
    from fedfactory.factory.encoder_networks import Encoder

# Below it the logarithm of a probability is cut off.
_LEAST = 1e-8


def measure_source(
    branch: Path, factory: Path, synthetic: Path, view: ClientView, client: str, encoder: Encoder, seed: int
) -> list[dict[str, Any]]:
    """Whether the synthetic set repeats the source's slices, and whether the branch tells which ones trained it.

    The attack on the branch is that by the loss (Yeom et al., CSF 2018), which needs a slice's labels: whoever holds
    both calls them members the better the branch segments them.

    Args:
        branch: folder of the source branch.
        factory: folder of its factory.
        synthetic: folder of the synthetic source set.
        view: the source's store, with labels of its training and validation volumes.
        client: its name.
        encoder: of the keys; its space is the second one of the comparison.
        seed: of the tests.

    Returns:
        Rows as :func:`fedfactory.factory.privacy.measure` has them.
    """
    stored = read_networks(branch, factory, "cpu", "source_branch")
    data = ClientData.read(view, stored.factory.card.parameters)
    given = repeats(SyntheticSet.read(synthetic, stored.factory).images, data, client, encoder, seed)
    rows = [{**row, "space": f"synthetic set, {row['space']}"} for row in given.rows]
    segment = BranchSegmenter(stored.translator, {SOURCE: stored.branches[SOURCE]}, SOURCE, FieldOfView(0.0))
    splits = [view.labelled_volumes(split) for split in ("train", "validation")]
    subject_of = {row.case: row.subject for row in view.rows}
    subjects = [[subject_of[volume.name] for volume in volumes for _ in volume.images] for volumes in splits]
    members, others = (-slice_losses(segment, volumes) for volumes in splits)
    return [*rows, attack_row(client, "source branch, loss", members, others, (subjects[0], subjects[1]), seed)]


def slice_losses(segment: BranchSegmenter, volumes: Iterable[Volume]) -> np.ndarray:
    """Mean cross-entropy of each slice of some labelled volumes (n,)."""
    found = []
    for volume in volumes:
        probabilities = segment.probabilities(np.asarray(volume.images))
        true = np.take_along_axis(probabilities, np.asarray(volume.labels)[:, None].astype(np.int64), axis=1)
        found.append(-np.log(np.maximum(true, _LEAST)).mean(axis=(1, 2, 3)))
    return np.concatenate(found)
