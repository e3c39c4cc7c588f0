"""A client's own data as the factory trains on them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from fedfactory.config.parameters import read
from fedfactory.data.store import ClientView
from fedfactory.errors import FedFactoryError
from fedfactory.factory.differential_privacy import by_subject
from fedfactory.factory.encoders import EncoderParameters, check_maker, load_encoder, no_key, read_key
from fedfactory.factory.images import numbered, placed, subjects_of, training_images
from fedfactory.factory.local_round import ClientImages
from fedfactory.factory.parameters import FactoryParameters


def load_client(
    client: str, data: Path, key: Path | None, encoder: Mapping[str, Any], parameters: FactoryParameters, device: str
) -> ClientImages:
    """Read a client's training images and its key.

    Args:
        client: its name.
        data: its store.
        key: its key file; None where no key is used.
        encoder: parameters of the key's encoder; loaded only if there are refinement rounds.
        parameters: of the factory.
        device: where everything but the images goes.

    Raises:
        FedFactoryError: no training image, bad values, or a key of another encoder or length.
    """
    wanted = read(EncoderParameters, encoder, "factory.encoder")
    found = no_key(wanted.name) if key is None else read_key(key)
    if found.encoder != wanted.name or len(found.values) != parameters.network.key_size:
        raise FedFactoryError(
            f"{key} holds a key of {len(found.values)} values by {found.encoder}; the configuration asks for "
            f"{parameters.network.key_size} by {wanted.name}; make the key again"
        )
    view, copies = ClientView(data), parameters.training.copies
    images, positions = training_images(view, parameters.network.image_size, copies=copies)
    encode = None
    if parameters.federation.refinement_rounds:
        encode = load_encoder(wanted, device)
        check_maker(found.encoder, found.digest, encode)
    return ClientImages(
        index=parameters.clients.index(client),
        images=torch.from_numpy(images)[:, None],
        positions=torch.from_numpy(placed(positions, parameters)).to(device),
        key=found.values.to(device),
        encode=encode,
        subjects=by_subject(numbered(subjects_of(view, "train"), copies), parameters),
    )
