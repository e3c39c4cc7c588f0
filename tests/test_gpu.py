"""Trainings and segmentation on a GPU are those of the CPU but for rounding. CI has no GPU."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch

from fedfactory.config.parameters import Schedule, read
from fedfactory.data.store import Volume
from fedfactory.methods.foundation.parameters import PretrainingParameters
from fedfactory.methods.sam.model import open_sam, pretrain_sam, read_segmenter, write_decoders
from fedfactory.methods.sam.parameters import SamParameters
from fedfactory.methods.universeg.model import open_universeg, pretrain_universeg
from fedfactory.methods.universeg.parameters import UniverSegParameters
from fedfactory.methods.universeg.segmenter import SupportSet, UniverSegSegmenter
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.checkpoints import Checkpoints
from tests.adaptation.conftest import write_discs
from tests.baselines.test_federated_cells import TRAININGS
from tests.baselines.test_federated_cells import run as run_federation
from tests.baselines.test_sam import SMALL, discs, tuned
from tests.conftest import KillAt, Killed

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
]
PRETRAINING = PretrainingParameters(
    ("outlines",), False, pool=4, samples=2, batch=2, learning_rate=0.001,
    schedule=Schedule(steps=4, decay_at=1, clip=1, ema=0, validations=1), held_out=2,
)  # fmt: skip


def apart(first, second) -> float:
    """How far two state dicts are apart, relative to their size."""
    first, second = (torch.cat([value.double().flatten().cpu() for value in x.values()]) for x in (first, second))
    return float((first - second).norm() / second.norm())


def weights(model):
    return torch.load(model / "weights.pt", map_location="cpu", weights_only=True)


@pytest.mark.parametrize("kind", TRAININGS)
def test_a_federated_row(tmp_path, kind):
    stores = {name: str(write_discs(tmp_path / name, seed)) for seed, name in enumerate(("first", "second", "third"))}
    cpu = weights(run_federation(stores, tmp_path / "cpu", kind))
    gpu = weights(run_federation(stores, tmp_path / "gpu", kind, device="cuda"))
    assert apart(gpu, cpu) < 0.05
    with pytest.raises(Killed):
        run_federation(stores, tmp_path / "killed", kind, device="cuda", progress=KillAt(2))
    assert apart(weights(run_federation(stores, tmp_path / "killed", kind, device="cuda")), gpu) < 0.01


def test_sam(tmp_path):
    tuning = {"copies": 2, "batch": 2, "learning_rate": 0.001, "validation": "none"}
    values = {
        "weights": "procedural-tiny", "prompt": "full_box", "architecture": asdict(SMALL),
        "pretraining": asdict(PRETRAINING), "tuning": {**tuning, "schedule": asdict(PRETRAINING.schedule)},
    }  # fmt: skip
    p = read(SamParameters, json.loads(json.dumps(values)), "p")
    pretrain_sam(p, None, 0, "cuda", Checkpoints(tmp_path / "w", "x"), tmp_path / "sam", Progress("x"))
    images, labels = discs()
    decoders, history = tuned(open_sam(tmp_path / "sam", "imagenet", "cuda"), (images, labels), tmp_path, steps=150)
    (tmp_path / "model").mkdir()
    write_decoders(tmp_path / "model", decoders, history, prompt="full_box", normalisation="imagenet")
    gpu, cpu = (read_segmenter(tmp_path / "model", tmp_path / "sam", device)(images) for device in ("cuda", "cpu"))
    assert (gpu == cpu).mean() > 0.99 and len(np.unique(gpu)) > 1


def test_universeg(tmp_path):
    p = UniverSegParameters(32, "procedural-tiny", (4, 4), PRETRAINING)
    pretrain_universeg(p, 0, "cuda", Checkpoints(tmp_path / "w", "x"), tmp_path / "universeg", Progress("x"))
    images, labels = discs()
    found = []
    for device in ("cuda", "cpu"):
        network = open_universeg(tmp_path / "universeg", device)
        support = SupportSet.of(Volume("few", images[:3], labels[:3]), 2, 32, device)
        found.append(UniverSegSegmenter(network, support, 32)(images))
    assert (found[0] == found[1]).mean() > 0.99
