"""Steps of the adaptation to measure: the configured networks and parameters on random images."""

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import torch
import torchvision
import yaml

from fedfactory.config.run import Config, load_config
from fedfactory.factory.model import Card, Factory, write_factory
from fedfactory.factory.networks import Generator
from fedfactory.factory.parameters import FactoryParameters
from fedfactory.factory.plan import FactoryPlan
from fedfactory.methods.ours import target
from fedfactory.methods.ours.architecture import Architecture
from fedfactory.methods.ours.encoder import SOURCE, TARGET
from fedfactory.methods.ours.field_of_view import FieldOfView
from fedfactory.methods.ours.parameters import BatchParameters, SourceParameters, TargetParameters
from fedfactory.methods.ours.perceptual import ALEXNET, PerceptualParameters, load_perceptual
from fedfactory.methods.ours.perceptual_networks import Perceptual
from fedfactory.methods.ours.rendering import own_look
from fedfactory.methods.ours.samples import Samples
from fedfactory.methods.ours.source import source_losses
from fedfactory.methods.ours.target_data import TargetData
from fedfactory.orchestration.declared import methods
from fedfactory.training.loop import Losses

ROOT = Path(__file__).parents[1]
# Kind of a target's step -> number of the step (even ones are intra-domain) and whether the batch holds factory pairs.
TARGET_STEPS = {"intra": (0, False), "inter": (1, False), "intra, pairs": (0, True), "inter, pairs": (1, True)}
STEPS = ("source", *TARGET_STEPS)
PAPER = "paper"
# Whether the batch holds factory pairs -> the method of the configuration.
METHODS = {False: "ours", True: "ours_paired"}
# Images to draw from.
_SAMPLES = 16


@dataclass(frozen=True)
class Scale:
    """Parameters of a measurement.

    Attributes:
        factory: of F.
        source: of the source branch.
        targets: whether the batch holds pairs -> parameters of the adaptation.
        classes: names of the foreground classes.
        size: edge of the labels.
    """

    factory: FactoryParameters
    source: SourceParameters
    targets: Mapping[bool, TargetParameters]
    classes: tuple[str, ...]
    size: int


def config_of(name: str) -> Config:
    """The configuration that a scale is of: the paper's, or the demo's."""
    file = ROOT / "config" / ("paper.yaml" if name == PAPER else "demo.yaml")
    return load_config(yaml.safe_load(file.read_text()), [file], ROOT)


def scale_of(name: str, small_batches: bool = True) -> Scale:
    """The demo's parameters of a setup, or those of the paper, with batches of two or its own."""
    config, setup = config_of(name), "mm" if name == PAPER else name
    rows = methods()["ours"].open(config, ROOT).parameters
    cells = {method: parameters[setup] for method, parameters in rows.items()}
    source, targets = (
        cells["ours"].source,
        {pairs: cells[method].target for pairs, method in METHODS.items() if method in cells},
    )
    if name == PAPER and small_batches:
        source = replace(source, batch=2)
        # The paper has no pairs: one is added to see what it would cost.
        batches = {pairs: BatchParameters(source=1, labelled=1, unlabelled=0, pairs=int(pairs)) for pairs in METHODS}
        targets = {pairs: replace(targets[False], batch=batch) for pairs, batch in batches.items()}
    size = config.preprocessing["image_size"]
    return Scale(FactoryPlan(config).parameters[setup], source, targets, config.setups[setup].classes, size)


def perceptual_of(p: PerceptualParameters, device: str) -> Perceptual:
    """The configured LPIPS; AlexNet, whose weights are not here, with random ones."""
    if p.name != ALEXNET:
        return load_perceptual(p, device)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "alexnet.pth"
        torch.save(torchvision.models.alexnet(weights=None).features.state_dict(prefix="features."), file)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        return load_perceptual(PerceptualParameters(ALEXNET, str(file), digest), device)


def untrained(p: FactoryParameters, device: str) -> Factory:
    """A factory with random weights and keys."""
    keys = {name: torch.randn(p.network.key_size).tolist() for name in p.clients}
    with tempfile.TemporaryDirectory() as folder:
        write_factory(Path(folder), Generator(p.network).state_dict(), Card(p, "none", "", keys, 0))
        return Factory(Path(folder), device)


class Case:
    """Networks and data of one scale, and its steps as the package runs them.

    Args:
        scale: the parameters.
        device: ``cpu`` or ``cuda``; weights and images are the same on both.

    Attributes:
        scale: the parameters.
        translator: E and F.
        branches: S_s, frozen, and S_t.
        perceptual: LPIPS.
        data: whether it holds pairs -> what a target may see.
        step_class: makes a target's step.
    """

    step_class = target.Step

    def __init__(self, scale: Scale, device: str = "cpu"):
        torch.manual_seed(0)
        self.scale, self.device, (own, other) = scale, device, scale.factory.clients[:2]
        factory = untrained(scale.factory, device)
        self.perceptual = perceptual_of(scale.source.perceptual, device)
        encoder, hidden, zoom = scale.source.encoder, scale.source.hidden, factory.zoom(own)
        architecture = Architecture(encoder, hidden, scale.classes, "untrained", factory.digest, zoom)
        self.translator, source = architecture.networks(factory, 0)
        self.translator.means.copy_(torch.stack([own_look(factory, name).mean(factory) for name in (own, other)]))
        self.branches = {SOURCE: source.requires_grad_(False).eval(), TARGET: architecture.networks(factory, 1)[1]}
        pairs, source, labelled, unlabelled = (self._samples(labels) for labels in (False, True, True, False))
        data = TargetData(source, pairs, labelled, unlabelled, FieldOfView(0.0), scale.size, len(scale.classes))
        self.data = {False: replace(data, pairs=None), True: data}

    def _samples(self, labels: bool) -> Samples:
        edge, size, values = self.scale.source.encoder.image_size, self.scale.size, len(self.scale.classes) + 1
        images = torch.rand(_SAMPLES, 1, edge, edge) * 2 - 1
        masks = torch.randint(values, (_SAMPLES, size, size), dtype=torch.uint8).to(self.device) if labels else None
        return Samples(images.to(self.device), masks)

    def double(self) -> Self:
        """In double precision, where rounding does not hide what is equal."""
        for network in (self.translator._generator[0], self.translator, self.perceptual, *self.branches.values()):
            network.double()
        for pairs, data in self.data.items():
            samples = {name: getattr(data, name) for name in ("source", "pairs", "labelled", "unlabelled")}
            exact = {name: replace(value, images=value.images.double()) for name, value in samples.items() if value}
            self.data[pairs] = replace(data, **exact)
        return self

    def losses(self, kind: str) -> Losses:
        """Terms of a step's loss; the batch is always the same."""
        stream = torch.Generator().manual_seed(0)
        if kind == "source":
            # S_t stands for S_s, which is frozen here.
            branch, samples, p = self.branches[TARGET], self.data[False].source, self.scale.source
            return source_losses(self.translator, branch, samples, p, self.perceptual, self.scale.size, 1.0, stream)
        step, pairs = TARGET_STEPS[kind]
        p = self.scale.targets[pairs]
        # All of the content features, as after the steps over which they fade in.
        p = replace(p, schedule=replace(p.schedule, ramp=0.0))
        return self.step_class(self.translator, self.branches, self.data[pairs], p, self.perceptual).losses(
            step, stream
        )

    def step(self, kind: str) -> Losses:
        """Forward and backward, as a training runs them."""
        for network in (self.translator.encoder, self.branches[TARGET]):
            network.zero_grad()
        terms = self.losses(kind)
        torch.stack(list(terms.values())).sum().backward()
        return terms
