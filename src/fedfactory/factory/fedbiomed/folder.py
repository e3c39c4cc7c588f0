"""The factory's part of a node's folder, made from the client's store by a step at the client.

::

    images.npy      float32 (N, S, S) in [-1, 1]
    positions.npy   int64 (N,), slice-position bins
    subjects.npy    int64 (N,), numbers that images of one subject share

No label and no case number is in it. A real client runs its node under a user who can read nothing else of the client.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fedfactory.config.parameters import read
from fedfactory.data.store import ClientView
from fedfactory.errors import FedFactoryError
from fedfactory.factory.differential_privacy import by_subject
from fedfactory.factory.encoders import EncoderParameters, Key, check_maker, load_encoder
from fedfactory.factory.images import numbered, placed, subjects_of, training_images
from fedfactory.factory.local_round import ClientImages
from fedfactory.factory.parameters import FactoryParameters
from fedfactory.federation.engines.fedbiomed.folder import NodeDescription, read_arrays, write_folder


def describe(
    client: str, key: Key, encoder: Mapping[str, Any], copies: int, node: Path, records: Path
) -> NodeDescription:
    """What a node is told of its client.

    Args:
        client: its name.
        key: its key; the number of images is left out.
        encoder: parameters of the key's encoder, with the place of its weights at this client.
        copies: how often each image occurs in the folder, as it is and deformed.
        node: folder of the node.
        records: folder for the ledger and the losses.
    """
    own = {"encoder": dict(encoder), "copies": copies}
    return NodeDescription(client, announced(key), str(node), str(records), own)


def announced(key: Key) -> dict[str, Any]:
    """A key as plain data, as a client announces it."""
    return {"encoder": key.encoder, "digest": key.digest, "values": key.values.tolist()}


def values_of(key: Mapping[str, Any]) -> torch.Tensor:
    """Values of an announced key, (key_size,) float32."""
    return torch.tensor(key["values"], dtype=torch.float32)


def convert(description: NodeDescription, data: Path, image_size: int, folder: Path) -> None:
    """Make a node's folder from the client's store.

    Args:
        description: of the node.
        data: the client's store.
        image_size: of the factory.
        folder: replaced.

    Raises:
        FedFactoryError: no training image, or bad values.
    """
    view, copies = ClientView(data), description.own["copies"]
    images, positions = training_images(view, image_size, copies=copies)
    subjects = numbered(subjects_of(view, "train"), copies)
    write_folder(folder, description, {"images": images, "positions": positions, "subjects": subjects})


def read_images(folder: Path, description: NodeDescription, parameters: FactoryParameters, device: str) -> ClientImages:
    """Read what :func:`~fedfactory.factory.local_round.local_round` needs.

    Args:
        folder: of the node.
        description: its description.
        parameters: of the factory.
        device: where everything but the images goes.

    Raises:
        FedFactoryError: the folder does not fit the factory.
    """
    network, key, copies = parameters.network, description.announced, description.own["copies"]
    arrays = read_arrays(folder)
    images, positions = arrays["images"], arrays["positions"]
    if description.client not in parameters.clients:
        raise FedFactoryError(f"the client {description.client} is none of {', '.join(parameters.clients)}")
    if images.shape != (len(positions), network.image_size, network.image_size) or not len(images):
        raise FedFactoryError(f"images of shape {images.shape}; {network.image_size} pixels wanted; prepare it again")
    if copies != parameters.training.copies:
        raise FedFactoryError(
            f"images in {copies} copies; 'factory.training.copies' is {parameters.training.copies}; prepare again"
        )
    if positions.min() < 0 or positions.max() >= network.position_bins:
        raise FedFactoryError(
            f"slice positions up to {positions.max()}, the factory has {network.position_bins} bins; prepare the store"
            " with the coordinator's 'preprocessing.position_bins'"
        )
    if len(key["values"]) != network.key_size:
        raise FedFactoryError(f"a key of {len(key['values'])} values; the factory's have {network.key_size}")
    encode = None
    if parameters.federation.refinement_rounds:
        encode = load_encoder(read(EncoderParameters, description.own["encoder"], "factory.encoder"), device)
        check_maker(key["encoder"], key["digest"], encode)
    return ClientImages(
        index=parameters.clients.index(description.client),
        images=torch.from_numpy(images)[:, None],
        positions=torch.from_numpy(placed(positions, parameters)).to(device),
        key=values_of(key).to(device),
        encode=encode,
        subjects=by_subject(arrays["subjects"], parameters),
    )
