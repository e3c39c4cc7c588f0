"""Procedural tasks and pre-training on them."""

import hashlib
from dataclasses import asdict

import numpy as np
import pytest
import torch

from fedfactory.config.parameters import Schedule, read
from fedfactory.errors import FedFactoryError
from fedfactory.methods.foundation.model import verified, write_pretrained
from fedfactory.methods.foundation.parameters import PretrainingParameters
from fedfactory.methods.foundation.pretraining import pretrain
from fedfactory.methods.foundation.tasks import FAMILIES, draw_task
from fedfactory.methods.universeg.network import UniverSeg
from fedfactory.methods.universeg.segmenter import segment_tasks
from fedfactory.orchestration.progress import Progress
from fedfactory.storage import weights as published
from fedfactory.storage.checkpoints import Checkpoints
from fedfactory.training.loop import History


@pytest.mark.parametrize("family", FAMILIES)
def test_tasks_are_drawn_by_seed_and_vary(family):
    def draw():
        stream = np.random.default_rng(5)
        return draw_task([family], 32, stream, acquired=True).samples(4, stream)

    images, masks = draw()
    assert images.shape == masks.shape == (4, 32, 32)
    assert images.dtype == np.float32 and images.min() >= 0 and images.max() <= 1
    assert set(np.unique(masks)) == {0, 1}
    assert any((masks[0] != mask).any() for mask in masks[1:]), "samples of one task differ"
    np.testing.assert_array_equal(images, draw()[0])


def test_targets_can_be_seen():
    """Over many tasks the target's grey values differ from what surrounds it, or its texture does."""
    stream, seen = np.random.default_rng(1), []
    for _ in range(60):
        images, masks = draw_task(list(FAMILIES), 32, stream).samples(1, stream)
        inside, outside = images[masks == 1], images[masks == 0]
        if len(inside) and len(outside):
            spread = inside.std() + outside.std() + 1e-3
            seen.append(abs(inside.mean() - outside.mean()) / spread > 0.3 or abs(inside.std() - outside.std()) > 0.02)
    assert np.mean(seen) > 0.8


@pytest.mark.slow
def test_pretraining_teaches_what_no_task_showed(tmp_path, one_thread):
    torch.manual_seed(0)
    network = UniverSeg((8, 8, 8))
    p = PretrainingParameters(
        ("outlines", "polygons"), False, pool=40, samples=4, batch=4, learning_rate=0.003,
        schedule=Schedule(steps=150, decay_at=0.7, clip=10.0, ema=0.9, validations=2), held_out=16,
    )  # fmt: skip
    _, dice = pretrain(network, segment_tasks, p, 32, 0, Checkpoints(tmp_path / "work", "x"), Progress("x"))
    assert dice["as_trained"]["after"] > dice["as_trained"]["before"] + 0.2


def test_unknown_families_are_refused():
    p = PretrainingParameters(("hearts",), False, 1, 2, 1, 0.1, Schedule(1, 1.0, 1.0, 0.0, 1), 1)
    with pytest.raises(FedFactoryError, match="key.families.0': 'hearts' is unknown; known are outlines"):
        read(PretrainingParameters, asdict(p), "key")


def test_a_cell_names_its_weights_and_looks_at_the_file(tmp_path):
    (tmp_path / "own").mkdir()
    write_pretrained(tmp_path / "own", torch.nn.Linear(2, 2), History([], [], None), {})
    named = verified(tmp_path / "own", tmp_path / "own")
    assert named["weights"] == "procedural-tiny"
    assert named["sha256"] == hashlib.sha256((tmp_path / "own/weights.pt").read_bytes()).hexdigest()
    file, digest = tmp_path / "m.pt", hashlib.sha256(b"published").hexdigest()
    file.write_bytes(b"published")
    published.write_record(
        tmp_path / "m.json", "sam-vit-b", published.Weights("m.pt", None, "MIT", False, digest, None), digest
    )
    assert verified(tmp_path / "m.json", file) == {"weights": "sam-vit-b", "sha256": digest}
    file.write_bytes(b"exchanged")
    with pytest.raises(FedFactoryError, match="m.pt was changed after it was checked; remove .*m.json"):
        verified(tmp_path / "m.json", file)
    file.unlink()
    with pytest.raises(FedFactoryError, match="m.pt is gone"):
        verified(tmp_path / "m.json", file)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FedFactoryError, match="holds no pre-trained model"):
        verified(tmp_path / "empty", tmp_path / "empty")
