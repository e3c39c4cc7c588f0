"""The folder of one site: all that its plan reads, made from the client's store by a step at the site.

::

    images.npy      float32 (N, S, S) in [-1, 1]
    positions.npy   int64 (N,), slice-position bins
    site.json       client, its key, the encoder of the key, and where the node and its records are

No label and no case number is in it. A real site runs its node under a user who can read nothing else of the client.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedfactory.errors import FedFactoryError
from fedfactory.storage.files import new_folder

if TYPE_CHECKING:
    from torch import Tensor

    from fedfactory.factory.encoders import Key
    from fedfactory.factory.local_round import ClientImages
    from fedfactory.factory.parameters import FactoryParameters

# By this tag the aggregator finds the data sets of sites, by their names the clients.
TAG = "fedfactory"
# Where the aggregator writes down the keys that the sites announced.
KEYS = "announced_keys.json"


@dataclass(frozen=True)
class ClientCard:
    """What ``site.json`` says.

    Attributes:
        client: name of the client.
        key: ``encoder``, ``digest`` (SHA-256 of its weights) and ``values``; the number of images is left out.
        encoder: parameters of the encoder, with the place of its weights at this site.
        node: folder of the node.
        records: folder for the ledger and the losses; ``{experiment}`` in it stands for Fed-BioMed's id of a training.
        copies: how often each image occurs in the folder, as it is and deformed.
    """

    client: str
    key: Mapping[str, Any]
    encoder: Mapping[str, Any]
    node: str
    records: str
    copies: int

    def records_of(self, experiment: str) -> Path:
        """Folder for the ledger and the losses of one training."""
        return Path(self.records.replace("{experiment}", experiment))


def convert(card: ClientCard, data: Path, image_size: int, folder: Path) -> None:
    """Make a site's folder from the client's store.

    Args:
        card: what ``site.json`` will say.
        data: the client's store.
        image_size: of the factory.
        folder: replaced.

    Raises:
        FedFactoryError: no training image, or bad values.
    """
    from fedfactory.data.store import ClientView
    from fedfactory.factory.images import training_images

    write_site(folder, card, *training_images(ClientView(data), image_size, copies=card.copies))


def plain_key(key: Key) -> dict[str, Any]:
    """A key as plain data, without the number of images."""
    return {"encoder": key.encoder, "digest": key.digest, "values": key.values.tolist()}


def write_site(folder: Path, card: ClientCard, images: np.ndarray, positions: np.ndarray) -> None:
    """Write a site's folder.

    Args:
        folder: replaced.
        card: what ``site.json`` will say.
        images: (N, S, S) float32 in [-1, 1].
        positions: (N,) int64.
    """
    with new_folder(folder) as new:
        np.save(new / "images.npy", images, allow_pickle=False)
        np.save(new / "positions.npy", positions, allow_pickle=False)
        (new / "site.json").write_text(json.dumps(vars(card), indent=1) + "\n")


def read_card(folder: Path) -> ClientCard:
    """Read ``site.json``.

    Raises:
        FedFactoryError: the folder is none of a site.
    """
    try:
        return ClientCard(**json.loads((folder / "site.json").read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise FedFactoryError(f"{folder} is no folder of a site ({error}); prepare it again") from None


def folder_digest(folder: Path) -> str:
    """SHA-256 of what a training depends on: images, positions and key."""
    digest = hashlib.sha256(json.dumps(read_card(folder).key).encode())
    for name in ("images.npy", "positions.npy"):
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def read_site(folder: Path, parameters: FactoryParameters, device: str) -> ClientImages:
    """Read what :func:`~fedfactory.factory.local_round.local_round` needs.

    Args:
        folder: of the site.
        parameters: of the factory.
        device: where the images go.

    Raises:
        FedFactoryError: the folder does not fit the factory.
    """
    import torch

    from fedfactory.factory.images import fill_positions
    from fedfactory.factory.local_round import ClientImages

    card, network = read_card(folder), parameters.network
    images, positions = (np.load(folder / f"{name}.npy", allow_pickle=False) for name in ("images", "positions"))
    if card.client not in parameters.clients:
        raise FedFactoryError(f"the client {card.client} is none of {', '.join(parameters.clients)}")
    if images.shape != (len(positions), network.image_size, network.image_size) or not len(images):
        raise FedFactoryError(f"images of shape {images.shape}; {network.image_size} pixels wanted; prepare it again")
    if card.copies != parameters.training.copies:
        raise FedFactoryError(
            f"images in {card.copies} copies; 'factory.training.copies' is {parameters.training.copies}; prepare again"
        )
    if positions.min() < 0 or positions.max() >= network.position_bins:
        raise FedFactoryError(
            f"slice positions up to {positions.max()}, the factory has {network.position_bins} bins; prepare the store"
            " with the coordinator's 'preprocessing.position_bins'"
        )
    if len(card.key["values"]) != network.key_size:
        raise FedFactoryError(f"a key of {len(card.key['values'])} values; the factory's have {network.key_size}")
    return ClientImages(
        index=parameters.clients.index(card.client),
        images=torch.from_numpy(images)[:, None].to(device),
        positions=torch.from_numpy(fill_positions(positions, network.position_bins)).to(device),
        key=key_tensor(card.key).to(device),
        encode=_encoder(card, device) if parameters.federation.refinement_rounds else None,
    )


def key_tensor(key: Mapping[str, Any]) -> Tensor:
    """The key's values, (key_size,) float32."""
    import torch

    return torch.tensor(key["values"], dtype=torch.float32)


def _encoder(card: ClientCard, device: str) -> Any:
    from fedfactory.factory.encoders import EncoderParameters, check_maker, load_encoder

    encoder = load_encoder(EncoderParameters.from_mapping(card.encoder), device)
    check_maker(card.key["encoder"], card.key["digest"], encoder)
    return encoder
