"""The perceptual reconstruction loss, LPIPS (Zhang et al., CVPR 2018), and which network it sees with.

Paper scale uses LPIPS on AlexNet. Where no weights may be downloaded a stand-in does: LPIPS's learned heads on the
trained SqueezeNet 1.1 that the package ``ndf`` ships, or on a random one. Both are no LPIPS in the strict sense, and
every output carries their name.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from fedfactory.config.parameters import STRICT, OneOf
from fedfactory.errors import FedFactoryError
from fedfactory.storage.weights_choice import WeightsChoice

if TYPE_CHECKING:
    from fedfactory.methods.ours.perceptual_networks import Perceptual

ALEXNET, SQUEEZENET_NDF, SQUEEZENET_RANDOM = "lpips-alexnet", "lpips-squeezenet-ndf", "lpips-squeezenet-random"
NAMES = (ALEXNET, SQUEEZENET_NDF, SQUEEZENET_RANDOM)
_ALEXNET_FILE = "alexnet-owt-7be5be79.pth"
# torch.hub's convention: the digits in a file's name are the first of its SHA-256.
_ALEXNET_SHA256 = "7be5be79"
_ADVICE = f"download https://download.pytorch.org/models/{_ALEXNET_FILE} where there is a network and give its path"


@dataclass(frozen=True)
class PerceptualParameters(WeightsChoice):
    """Which perceptual loss.

    Attributes:
        name: ``lpips-alexnet``, the metric of Zhang et al.; ``lpips-squeezenet-ndf``, an approximation whose heads
            were calibrated for other weights of the same architecture; ``lpips-squeezenet-random``, no perceptual
            metric, for tests of the machinery.
        checkpoint: file of AlexNet's weights as torchvision publishes them; only for ``lpips-alexnet``, which cannot
            be loaded without.
        sha256: digest that the file must have; null: that of torchvision's file.
    """

    FROM_FILE: ClassVar[str] = ALEXNET
    REFUSAL: ClassVar[str] = "reads no file of the user"
    __pydantic_config__ = STRICT
    name: Annotated[str, OneOf(NAMES)]


def load_perceptual(parameters: PerceptualParameters, device: str) -> Perceptual:
    """Load a perceptual loss with its weights, frozen; draws no number from the global random state.

    Args:
        parameters: which one.
        device: ``cpu`` or ``cuda``.

    Raises:
        FedFactoryError: weights that are missing, have another digest, would execute code or belong to another
            network; the message says how to get them. No other network is ever taken instead.
    """
    from fedfactory.methods.ours import perceptual_networks as networks

    if parameters.name == ALEXNET:
        file, digest = _alexnet_file(parameters)
        return networks.alexnet(file, ALEXNET, digest).to(device)
    if parameters.name == SQUEEZENET_NDF:
        from fedfactory.factory.encoders import SQUEEZENET, EncoderParameters, load_encoder

        return networks.squeezenet_of(load_encoder(EncoderParameters(SQUEEZENET), device), SQUEEZENET_NDF).to(device)
    return networks.random_squeezenet(0, SQUEEZENET_RANDOM).to(device)


def _alexnet_file(parameters: PerceptualParameters) -> tuple[Path, str]:
    """AlexNet's weights and their SHA-256; nothing is downloaded in a job."""
    if parameters.checkpoint is None:
        raise FedFactoryError(f"key 'perceptual.checkpoint': {ALEXNET} needs AlexNet's weights; {_ADVICE}")
    file = Path(parameters.checkpoint)
    if not file.is_file():
        raise FedFactoryError(f"key 'perceptual.checkpoint': {file} is missing; {_ADVICE}")
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    if parameters.sha256 is not None and digest != parameters.sha256:
        raise FedFactoryError(
            f"key 'perceptual.sha256': {file} has the SHA-256 {digest}, expected is {parameters.sha256}; get the file "
            "again or correct the key"
        )
    if parameters.sha256 is None and not digest.startswith(_ALEXNET_SHA256):
        raise FedFactoryError(
            f"key 'perceptual.checkpoint': {file} has the SHA-256 {digest}, that of torchvision's {_ALEXNET_FILE} "
            f"begins with {_ALEXNET_SHA256}; get the file again, or give your file's digest as 'perceptual.sha256'"
        )
    return file, digest
