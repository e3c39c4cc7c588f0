"""A federation of three small sites."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fedfactory.config.parameters import read
from fedfactory.data.store import SliceRow
from fedfactory.factory.encoders import SQUEEZENET, EncoderParameters, Key, load_encoder, read_key, write_key
from fedfactory.factory.parameters import (
    FactoryParameters,
    FederationParameters,
    NetworkParameters,
    TrainingParameters,
)
from fedfactory.federation.client import ClientSpec

CLIENTS = ("near", "mid", "far")


def small_parameters(**federation) -> FactoryParameters:
    values = {
        "engine": "simulated", "mode": "local", "rounds": 3, "local_steps": 1, "refinement_rounds": 0,
        "refinement_steps": 1, "clients_per_round": 2, "persistent_optimisers": True, "checkpoint_every": 1,
        "snapshots": 3, "deadline": 600, **federation,
    }  # fmt: skip
    network = NetworkParameters(
        image_size=32, channels={4: 8, 8: 8, 16: 8, 32: 8}, latent=16, mapping_layers=2, mapping_rate=0.01,
        weighting="mean", label_reaches="late", late_from=16, client_zoom=True, position_width=0.0,
        noise=False, position_bins=5, key_size=512, clients=3,
    )  # fmt: skip
    training = TrainingParameters(
        batch=2, copies=2, learning_rate=0.002, r1=1.0, r1_every=2, path_length=1.0, path_length_every=2,
        path_length_decay=0.01, mixing=0.5, ema=0.9, augment_target=0.6, augment_speed=100, flip=True, counting="pair",
        refinement_weight=1.0, precision="float32",
    )  # fmt: skip
    return FactoryParameters(CLIENTS, network, training, FederationParameters(**values))


def write_store(folder: Path, count: int, seed: int) -> Path:
    """A store of ``count`` training and two validation slices of 32 pixels."""
    folder.mkdir(parents=True)
    total = count + 2
    images = np.random.default_rng(seed).uniform(-1, 1, (total, 32, 32)).astype(np.float32)
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", np.zeros(images.shape, np.uint8))
    rows = [
        SliceRow(f"s{i // 3}", f"c{i // 3}{split}", i, i % 5, split, False, False)
        for i, split in ((i, "train" if i < count else "validation") for i in range(total))
    ]
    lines = [",".join(SliceRow._fields)]
    lines += [",".join(str(int(v) if isinstance(v, bool) else v) for v in row) for row in rows]
    (folder / "index.csv").write_text("\n".join(lines) + "\n")
    (folder / "store.json").write_text(json.dumps({"classes": ["organ"], "statistics": {}, "geometry": {}}))
    return folder


@pytest.fixture
def stores(tmp_path: Path) -> Path:
    """Folder with a store and a key for each client; their numbers of images differ."""
    for number, client in enumerate(CLIENTS):
        write_store(tmp_path / client / "data", 4 + 3 * number, number)
        values = torch.randn(512, generator=torch.Generator().manual_seed(number))
        write_key(tmp_path / client / "factory_key.json", Key(SQUEEZENET, "0" * 64, 4, values))
    return tmp_path


@pytest.fixture
def keyed(stores: Path) -> Path:
    """The stores, with keys that name the real encoder's weights."""
    digest = load_encoder(read(EncoderParameters, {"name": SQUEEZENET}, "factory.encoder"), "cpu").digest
    for client in CLIENTS:
        key = read_key(stores / client / "factory_key.json")
        write_key(stores / client / "factory_key.json", Key(key.encoder, digest, key.images, key.values))
    return stores


@pytest.fixture
def site_tasks(stores: Path):
    """Make the sites' tasks for parameters and a working folder."""

    def make(parameters: FactoryParameters, work: Path, seed: int = 7) -> list[ClientSpec]:
        return [
            ClientSpec(
                client=client,
                module="fedfactory.factory.client",
                arguments={
                    "data": str(stores / client / "data"),
                    "key": str(stores / client / "factory_key.json"),
                    "encoder": {"name": SQUEEZENET},
                    "parameters": parameters.as_json(),
                },
                seed=seed,
                identity="test",
                work=str(work / "sites" / client),
                device="cpu",
            )
            for client in parameters.clients
        ]

    return make


def site_files(stores: Path) -> dict[str, dict[str, str]]:
    """Store and key of every client, as a training is told."""
    return {client: {name: str(stores / client / name) for name in ("data", "factory_key.json")} for client in CLIENTS}


__all__ = ["CLIENTS", "replace", "site_files", "small_parameters", "write_store"]
