"""Steps of the other rows to measure: the configured networks and parameters on random slices."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from dynamic_network_architectures.architectures.unet import PlainConvUNet
from torch import Tensor, nn

from benchmarks.adaptation_cases import PAPER, ROOT, config_of
from fedfactory.config.parameters import read
from fedfactory.config.run import Config
from fedfactory.data.store import Volume
from fedfactory.federation.client import TRAIN
from fedfactory.federation.message import WEIGHTS
from fedfactory.methods.feddg.client import AMPLITUDES, LOOKS, OTHERS, FedDGClient, share_of
from fedfactory.methods.feddg.parameters import FedDGParameters
from fedfactory.methods.federated.segmentation import ClientSlices, initial_network
from fedfactory.methods.fedmedgan.client import FedMedGanClient, phases_of
from fedfactory.methods.fedmedgan.parameters import FedMedGanParameters
from fedfactory.methods.fedmedgan.server import initial_weights as fedmedgan_weights
from fedfactory.methods.sam.network import as_read, build
from fedfactory.methods.sam.parameters import VIT_B, SamParameters
from fedfactory.methods.sam.tuning import SamSegmenter
from fedfactory.methods.universeg.network import PUBLISHED_FEATURES, UniverSeg
from fedfactory.methods.universeg.parameters import UniverSegParameters
from fedfactory.methods.universeg.segmenter import SupportSet, UniverSegSegmenter
from fedfactory.orchestration.declared import methods
from fedfactory.training.losses import segmentation_loss

SETUP = "mm"
_SLICES = 12
# 2D, patches of 512 pixels, as nnU-Net plans them: features of its stages, and slices in a batch.
_NNUNET_FEATURES, _NNUNET_BATCH = (32, 64, 128, 256, 512, 512, 512, 512), 12


class Case(Protocol):
    """Something that runs on a device and leaves numbers behind."""

    def run(self) -> Mapping[str, float]:
        """The next step or round; returns its losses."""

    def result(self) -> Tensor:
        """Weights, or masks where nothing is trained: one row on the CPU."""


def _slices(config: Config, count: int = _SLICES) -> Volume:
    """Random slices with labels."""
    edge, classes = config.preprocessing["image_size"], len(config.setups[SETUP].classes)
    stream = np.random.default_rng(0)
    images = stream.uniform(-1, 1, (count, edge, edge)).astype(np.float32)
    return Volume("random", images, stream.integers(0, classes + 1, images.shape).astype(np.uint8))


def _row(values: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([value.detach().flatten().cpu().float() for value in values.values()])


class FedDG:
    """A client's rounds of FedDG.

    Args:
        scale: ``demo`` or ``paper``.
        device: ``cpu`` or ``cuda``.
        steps: of a round.
    """

    def __init__(self, scale: str, device: str, steps: int = 2) -> None:
        config = config_of(scale)
        own: FedDGParameters = methods()["feddg"].open(config, ROOT).of("feddg", SETUP)
        p = replace(own, local_steps=steps, bank=4)
        volume = _slices(config)
        images, labels = (part[:, : p.image_size, : p.image_size] for part in (volume.images, volume.labels))
        share, classes = share_of(images, p), len(config.setups[SETUP].classes)
        self._client = FedDGClient("a", ["a", "b"], ClientSlices(images, labels), share, classes, p, 0, device)
        self._weights, self._round = initial_network(p, classes, 0).state_dict(), 0

    def run(self) -> Mapping[str, float]:
        """The next round."""
        answer, _ = self._client.answer(self._round, LOOKS, {})
        looks = {"b": answer[AMPLITUDES][AMPLITUDES]}
        answer, losses = self._client.answer(self._round, TRAIN, {WEIGHTS: self._weights, OTHERS: looks})
        self._weights, self._round = answer[WEIGHTS], self._round + 1
        return losses

    def result(self) -> Tensor:
        """Weights of the network."""
        return _row(self._weights)


class FedMedGan:
    """Rounds of FedMed-GAN at both of its clients, one after the other; without noise, which is drawn anywhere.

    Args:
        scale: ``demo`` or ``paper``.
        device: ``cpu`` or ``cuda``.
        steps: of a round.
    """

    def __init__(self, scale: str, device: str, steps: int = 2) -> None:
        config = config_of(scale)
        p = read(FedMedGanParameters, config.methods["fedmedgan"].parameters, "parameters")
        p = replace(p, local_steps=steps, noise=0.0)
        images, names = torch.from_numpy(_slices(config).images)[:, None], ["source", "target"]
        self._clients = [FedMedGanClient(name, names, images, p, 0, device) for name in names]
        self._weights, self._phases, self._round = fedmedgan_weights(p, 0), phases_of(steps), 0

    def run(self) -> Mapping[str, float]:
        """The next round; losses of the source."""
        messages = [{WEIGHTS: self._weights}] * 2
        for phase in self._phases:
            answers = [
                client.answer(self._round, phase, message)
                for client, message in zip(self._clients, messages, strict=True)
            ]
            messages = [answers[1][0], answers[0][0]]
        self._weights, self._round = answers[0][0][WEIGHTS], self._round + 1
        return answers[0][1]

    def result(self) -> Tensor:
        """Weights of the source's generators."""
        return _row(self._weights)


class SamTuning:
    """Steps of the fine-tuning of SAM's decoders.

    Args:
        scale: ``demo`` (the network that the workflow pre-trains) or ``paper`` (ViT-B), with random weights.
        device: ``cpu`` or ``cuda``.
    """

    def __init__(self, scale: str, device: str) -> None:
        config = config_of(scale)
        p = read(SamParameters, config.methods["sam"].parameters, "parameters")
        volume = _slices(config, p.tuning.batch)
        torch.manual_seed(0)
        sam = build(p.architecture or VIT_B, p.reads)
        decoders = nn.ModuleList(build(p.architecture or VIT_B).mask_decoder for _ in config.setups[SETUP].classes)
        self.segment = SamSegmenter(sam.to(device).requires_grad_(False).eval(), decoders.to(device).train(), p.prompt)
        with torch.no_grad():
            self._known = sam.image_encoder(as_read(volume.images, sam))
        self._labels = torch.from_numpy(volume.labels).to(device)
        self._adam = torch.optim.Adam(decoders.parameters(), lr=p.tuning.learning_rate)

    def run(self) -> Mapping[str, float]:
        """The next step."""
        logits = self.segment.logits(self._known, self._labels.shape[-1])
        loss = segmentation_loss(logits, self._labels, 1.0, 1.0)
        self._adam.zero_grad()
        loss.backward()
        self._adam.step()
        return {"segmentation": float(loss.detach())}

    def result(self) -> Tensor:
        """Weights of the decoders."""
        return _row(self.segment.decoders.state_dict())


class Slices:
    """Segmentation of slices; nothing is trained.

    Args:
        segment: what segments.
        images: (n, S, S).
    """

    def __init__(self, segment: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> None:
        self._segment, self._images = segment, images
        self._masks = np.zeros(0)

    def run(self) -> Mapping[str, float]:
        """Segment all of them."""
        self._masks = self._segment(self._images)
        return {"foreground": float((self._masks > 0).mean())}

    def result(self) -> Tensor:
        """The masks."""
        return torch.from_numpy(self._masks.astype(np.float32)).flatten()


def sam_slices(scale: str, device: str) -> Slices:
    """Segmentation by SAM with untrained decoders."""
    return Slices(SamTuning(scale, device).segment, _slices(config_of(scale)).images)


def universeg_slices(scale: str, device: str) -> Slices:
    """Segmentation by UniverSeg with random weights."""
    config = config_of(scale)
    p = read(UniverSegParameters, config.methods["universeg"].parameters, "parameters")
    classes, volume = len(config.setups[SETUP].classes), _slices(config)
    torch.manual_seed(0)
    network = UniverSeg(p.features or PUBLISHED_FEATURES).to(device)
    few = Volume("few", volume.images[:3], volume.labels[:3])
    support = SupportSet.of(few, classes, p.image_size, device)
    return Slices(UniverSegSegmenter(network, support, p.image_size), volume.images)


class NnunetNetwork:
    """Steps of nnU-Net's 2D network alone, in mixed precision; loading and augmentation run beside it on the CPU.

    Args:
        device: ``cpu`` or ``cuda``.
    """

    def __init__(self, device: str) -> None:
        stages, classes = len(_NNUNET_FEATURES), len(config_of(PAPER).setups[SETUP].classes)
        torch.manual_seed(0)
        self._network = PlainConvUNet(
            input_channels=1,
            n_stages=stages,
            features_per_stage=_NNUNET_FEATURES,
            conv_op=nn.Conv2d,
            kernel_sizes=3,
            strides=(1, *[2] * (stages - 1)),
            n_conv_per_stage=2,
            num_classes=classes + 1,
            n_conv_per_stage_decoder=2,
            conv_bias=True,
            norm_op=nn.InstanceNorm2d,
            norm_op_kwargs={"affine": True},
            nonlin=nn.LeakyReLU,
            nonlin_kwargs={"inplace": True},
            deep_supervision=True,
        ).to(device)
        volume = _slices(config_of(PAPER), _NNUNET_BATCH)
        self._images = torch.from_numpy(volume.images)[:, None].to(device)
        labels = torch.from_numpy(volume.labels).to(device)
        self._labels = [labels[:, :: 1 << level, :: 1 << level] for level in range(stages - 1)]
        self._sgd = torch.optim.SGD(self._network.parameters(), lr=0.01, momentum=0.99, nesterov=True)
        self._scaler, self._device = torch.amp.GradScaler(device), device

    def run(self) -> Mapping[str, float]:
        """The next step."""
        self._sgd.zero_grad()
        with torch.autocast(self._device):
            outputs = self._network(self._images)
            parts = [
                segmentation_loss(logits, labels, 1.0, 1.0) / (1 << level)
                for level, (logits, labels) in enumerate(zip(outputs, self._labels, strict=True))
            ]
            loss = torch.stack(parts).sum()
        self._scaler.scale(loss).backward()
        self._scaler.step(self._sgd)
        self._scaler.update()
        return {"loss": float(loss.detach())}

    def result(self) -> Tensor:
        """Weights of the network."""
        return _row(self._network.state_dict())


CASES: Mapping[str, Callable[[str, str], Case]] = {
    "FedDG, a client's step": lambda scale, device: FedDG(scale, device, 1),
    "FedMed-GAN, a step at both clients": lambda scale, device: FedMedGan(scale, device, 1),
    "SAM, a tuning step": SamTuning,
    f"SAM, {_SLICES} slices": sam_slices,
    f"UniverSeg, {_SLICES} slices": universeg_slices,
}
"""Name -> (scale, device) -> case."""
NNUNET = f"nnU-Net's network, a step of {_NNUNET_BATCH} slices"
