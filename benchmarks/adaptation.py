"""What a step of the adaptation costs; run in the environment, no result of the demo is read.

- `python benchmarks/adaptation.py speed --out docs/benchmarks`: steps per second and peak memory with the demo's
  parameters of every setup; `... speed --paper --out ...`: one step of each kind at 512 pixels.
- `python benchmarks/adaptation.py parts --out docs/benchmarks`: where a step's time goes.
- `python benchmarks/adaptation.py textbook --out docs/benchmarks`: the same step written the straightforward way, with
  the same weights and, as is checked, the same losses and gradients.

A step is forward and backward, without the optimiser, on random images and an untrained factory: what the weights and
images are does not change what they cost. Times are medians of CPU seconds of one thread, as the demo's jobs use, since
other work on the machine hardly adds to those; whatever is compared takes turns.
"""

import argparse
import copy
import dataclasses
import hashlib
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self
from unittest import mock

import torch
import torch.nn.functional as F
import torchvision
import yaml
from tables import write
from textbook_stylegan2 import BlurForm, TextbookGenerator, upfirdn
from torch import Tensor, nn

from fedfactory.adaptation import target, translator
from fedfactory.adaptation.architecture import Architecture
from fedfactory.adaptation.branch import SegmentationBranch
from fedfactory.adaptation.cells import AdaptationCells
from fedfactory.adaptation.encoder import SOURCE, TARGET
from fedfactory.adaptation.frame import Frame
from fedfactory.adaptation.look import own_look
from fedfactory.adaptation.losses import reconstruction_loss, resize, segmentation_loss
from fedfactory.adaptation.parameters import BatchParameters, SourceParameters, TargetParameters
from fedfactory.adaptation.perceptual import ALEXNET, PerceptualParameters, load_perceptual
from fedfactory.adaptation.perceptual_networks import Perceptual
from fedfactory.adaptation.samples import Samples
from fedfactory.adaptation.source import source_losses
from fedfactory.adaptation.target import TargetData
from fedfactory.adaptation.training import Losses
from fedfactory.config import load_config
from fedfactory.devices import prepare
from fedfactory.factory.layers import magnify
from fedfactory.factory.model import Card, Factory, write_factory
from fedfactory.factory.networks import Generator
from fedfactory.factory.parameters import FactoryParameters
from fedfactory.factory.plan import FactoryPlan

ROOT = Path(__file__).parents[1]
CLOCKS = {"cpu": time.process_time, "wall": time.perf_counter}
# Kind of a target's step -> number of the step (even ones are intra-domain) and whether the batch holds factory pairs.
TARGET_STEPS = {"intra": (0, False), "inter": (1, False), "intra, pairs": (0, True), "inter, pairs": (1, True)}
STEPS = ("source", *TARGET_STEPS)
PAPER = "paper"
# Whether the batch holds factory pairs -> the method of the configuration.
METHODS = {False: "ours", True: "ours_paired"}
# Images to draw from.
_SAMPLES = 16
# Of losses and gradients in double precision; in single precision a maximum or a kink may go the other way.
TOLERANCE = 1e-9
FORMS: tuple[BlurForm, ...] = ("reshaped", "grouped")


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


def scale_of(name: str) -> Scale:
    """The demo's parameters of a setup, or those of the paper with batches of two."""
    file = ROOT / "config" / ("paper.yaml" if name == PAPER else "demo.yaml")
    config, setup = load_config(yaml.safe_load(file.read_text()), [file], ROOT), "mm" if name == PAPER else name
    cells = {method: parameters[setup] for method, parameters in AdaptationCells(config).parameters.items()}
    source, targets = (
        cells["ours"].source,
        {pairs: cells[method].target for pairs, method in METHODS.items() if method in cells},
    )
    if name == PAPER:
        source = replace(source, batch=2)
        # The paper has no pairs: one is added to see what it would cost.
        batches = {pairs: BatchParameters(source=1, labelled=1, unlabelled=0, pairs=int(pairs)) for pairs in METHODS}
        targets = {pairs: replace(targets[False], batch=batch) for pairs, batch in batches.items()}
    size = config.preprocessing["image_size"]
    return Scale(FactoryPlan(config).parameters[setup], source, targets, config.setups[setup].classes, size)


def perceptual_of(p: PerceptualParameters) -> Perceptual:
    """The configured LPIPS; AlexNet, whose weights are not here, with random ones."""
    if p.name != ALEXNET:
        return load_perceptual(p, "cpu")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "alexnet.pth"
        torch.save(torchvision.models.alexnet(weights=None).features.state_dict(prefix="features."), file)
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        return load_perceptual(PerceptualParameters(ALEXNET, str(file), digest), "cpu")


def untrained(p: FactoryParameters) -> Factory:
    """A factory with random weights and keys."""
    keys = {name: torch.randn(p.network.key_size).tolist() for name in p.clients}
    with tempfile.TemporaryDirectory() as folder:
        write_factory(Path(folder), Generator(p.network).state_dict(), Card(p, "none", "", keys, 0))
        return Factory(Path(folder))


class Case:
    """Networks and data of one scale, and its steps as the package runs them.

    Args:
        scale: the parameters.

    Attributes:
        scale: the parameters.
        translator: E and F.
        branches: S_s, frozen, and S_t.
        perceptual: LPIPS.
        data: whether it holds pairs -> what a target may see.
        step_class: makes a target's step.
    """

    step_class = target.Step

    def __init__(self, scale: Scale):
        torch.manual_seed(0)
        self.scale, factory, (own, other) = scale, untrained(scale.factory), scale.factory.clients[:2]
        self.perceptual = perceptual_of(scale.source.perceptual)
        encoder, hidden, zoom = scale.source.encoder, scale.source.hidden, factory.zoom(own)
        architecture = Architecture(encoder, hidden, scale.classes, "untrained", factory.digest, zoom)
        self.translator, source = architecture.networks(factory, 0)
        self.translator.means.copy_(torch.stack([own_look(factory, name).mean(factory) for name in (own, other)]))
        self.branches = {SOURCE: source.requires_grad_(False).eval(), TARGET: architecture.networks(factory, 1)[1]}
        pairs, source, labelled, unlabelled = (self._samples(labels) for labels in (False, True, True, False))
        data = TargetData(source, pairs, labelled, unlabelled, (), Frame(0.0), scale.size, len(scale.classes))
        self.data = {False: replace(data, pairs=None), True: data}

    def _samples(self, labels: bool) -> Samples:
        edge, size, values = self.scale.source.encoder.image_size, self.scale.size, len(self.scale.classes) + 1
        images = torch.rand(_SAMPLES, 1, edge, edge) * 2 - 1
        return Samples(images, torch.randint(values, (_SAMPLES, size, size), dtype=torch.uint8) if labels else None)

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
        return self.step_class(
            self.translator, self.branches, self.data[pairs], self.scale.targets[pairs], self.perceptual
        ).losses(step, 1.0, stream)

    def step(self, kind: str) -> Losses:
        """Forward and backward, as a training runs them."""
        for network in (self.translator.encoder, self.branches[TARGET]):
            network.zero_grad()
        terms = self.losses(kind)
        torch.stack(list(terms.values())).sum().backward()
        return terms


# Speed and memory: every measurement in a process of its own.


def resident() -> float:
    """Resident memory now, in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def measure(arguments: argparse.Namespace) -> None:
    """Time one kind of step and print seconds and memory as JSON."""
    case, clock = Case(scale_of(arguments.setup)), CLOCKS[arguments.clock]
    before, seconds = resident(), []
    # The first step is a warm-up, unless it is the only one.
    for _ in range(arguments.repetitions + (arguments.repetitions > 1)):
        start = clock()
        case.step(arguments.step)
        seconds.append(clock() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(json.dumps({"s": statistics.median(seconds[-arguments.repetitions :]), "peak": peak, "before": before}))


def speed(arguments: argparse.Namespace) -> list[dict[str, str | float]]:
    """Seconds and memory of every kind of step, one row each."""
    rows = []
    for setup in [PAPER] if arguments.paper else arguments.setups:
        scale = scale_of(setup)
        for step in arguments.steps:
            command = [sys.executable, __file__, "measure", "--setup", setup, "--step", step]
            command += ["--threads", str(arguments.threads), "--clock", arguments.clock]
            command += ["--repetitions", str(1 if arguments.paper else arguments.repetitions)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found = json.loads(done.stdout.splitlines()[-1])
            rows.append(
                {"setup": setup, "factory px": scale.factory.network.image_size, "labels px": scale.size, "step": step}
            )
            rows[-1] |= {"images": images_of(scale, step), "s per step": found["s"], "steps per s": 1 / found["s"]}
            rows[-1] |= {"peak MB": round(found["peak"]), "of the step MB": round(found["peak"] - found["before"])}
    return rows


def images_of(scale: Scale, step: str) -> int:
    """Images of a step; each of an inter-domain step passes encoder and factory twice."""
    if step == "source":
        return scale.source.batch
    batch = scale.targets[TARGET_STEPS[step][1]].batch
    return batch.source + batch.labelled + batch.unlabelled + 2 * batch.pairs


# Parts: every call of a step is recorded and then run again alone.


def tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in containers and dataclasses."""
    if isinstance(value, Tensor):
        yield value
    else:
        for item in _items(value):
            yield from tensors(item)


def _items(value: Any) -> list[Any]:
    if dataclasses.is_dataclass(value):
        return [getattr(value, field.name) for field in dataclasses.fields(value)]
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else []


def cut(value: Any) -> Any:
    """The same with tensors that gradients reach, but do not pass."""
    if isinstance(value, Tensor):
        return value.detach().requires_grad_(value.requires_grad)
    if dataclasses.is_dataclass(value):
        return replace(value, **{f.name: cut(getattr(value, f.name)) for f in dataclasses.fields(value)})
    if isinstance(value, Mapping):
        return {key: cut(item) for key, item in value.items()}
    return type(value)(cut(item) for item in value) if isinstance(value, list | tuple) else value


class Recorder:
    """Stands in for a function: notes what every call reads, and the gradients of what it returns."""

    def __init__(self, function: Callable):
        self.function, self.calls = function, []

    def __call__(self, *arguments: Any) -> Any:
        """Call it."""
        given, found = cut(arguments), self.function(*arguments)
        gradients: dict[int, Tensor] = {}
        for number, result in enumerate(tensors(found)):
            if result.requires_grad:
                result.register_hook(lambda gradient, number=number: gradients.__setitem__(number, gradient))
        self.calls.append((given, gradients))
        return found

    def replay(self) -> None:
        """Run all calls again, forward and backward."""
        for given, gradients in self.calls:
            for tensor in tensors(given):
                tensor.grad = None
            results = list(tensors(self.function(*given)))
            reached = [(results[number], gradient) for number, gradient in gradients.items()]
            if reached:
                torch.autograd.backward(*zip(*reached, strict=True))


def record(case: Case, kind: str) -> dict[str, Recorder]:
    """Run a step and note the calls of its parts."""
    e, s = case.translator.encoder, target if kind != "source" else sys.modules[__name__]
    found = {
        "encoder": (case.translator, "encode", case.translator.encode),
        "decode": (case.translator, "decode", case.translator.decode),
        "gates": (e, "inject", e.inject),
        "magnification": (translator, "magnify", magnify),
        "S_s": (case.branches[SOURCE], "forward", case.branches[SOURCE].forward),
        "S_t": (case.branches[TARGET], "forward", case.branches[TARGET].forward),
        "LPIPS": (case.perceptual, "forward", case.perceptual.forward),
        "reconstruction": (s, "reconstruction_loss", reconstruction_loss),
        "segmentation": (s, "segmentation_loss", segmentation_loss),
    }
    recorders = {name: Recorder(function) for name, (_, _, function) in found.items()}
    patches = [mock.patch.object(owner, name, recorders[part]) for part, (owner, name, _) in found.items()]
    for patch in patches:
        patch.start()
    case.step(kind)
    for patch in patches:
        patch.stop()
    return recorders


def parts(arguments: argparse.Namespace) -> list[dict[str, str | float]]:
    """Shares of a step's time, one row for each kind of step."""
    clock, rows = CLOCKS[arguments.clock], []
    for setup in arguments.setups:
        case = Case(scale_of(setup))
        for kind in arguments.steps:
            recorders = record(case, kind)
            seconds: dict[str, list[float]] = {name: [] for name in ("step", *recorders)}
            runs = {name: recorder.replay for name, recorder in recorders.items()}
            runs["step"] = partial(case.step, kind)
            for _ in range(arguments.repetitions):
                for name, run in runs.items():
                    start = clock()
                    run()
                    seconds[name].append(clock() - start)
            s = {name: statistics.median(values) for name, values in seconds.items()}
            shares = {
                "encoder": s["encoder"],
                "content gates": s["gates"],
                "factory": s["decode"] - s["gates"] - s["magnification"],
                "magnification": s["magnification"],
                "branches": s["S_s"] + s["S_t"],
                "LPIPS": s["LPIPS"],
                "losses": s["reconstruction"] - s["LPIPS"] + s["segmentation"],
            }
            shares["rest"] = s["step"] - sum(shares.values())
            rows.append({"setup": setup, "step": kind, "ms per step": s["step"] * 1e3})
            rows[-1] |= {f"{name} %": 100 * value / s["step"] for name, value in shares.items()}
    return rows


# The straightforward way.


class EnlargingBranch(nn.Module):
    """The branch that enlarges all maps, joins them, and then applies its first layer; with weights of ours."""

    def __init__(self, source: SegmentationBranch):
        super().__init__()
        weights = torch.cat([layer.weight.detach() for layer in source.layers], 1)
        self.first = nn.Conv2d(weights.shape[1], weights.shape[0], 1, dtype=weights.dtype)
        with torch.no_grad():
            self.first.weight.copy_(weights)
            self.first.bias.copy_(source.layers[0].bias)
        self.classifier = copy.deepcopy(source.classifier)

    def forward(self, maps: Sequence[Tensor], size: int) -> Tensor:
        """Classify maps as logits (batch, classes + 1, size, size)."""
        maps = [F.interpolate(x, (size, size), mode="bilinear", align_corners=False) for x in maps]
        return self.classifier(self.first(torch.cat(maps, 1)))


class ApartStep(target.Step):
    """The target's step with passes of factory and LPIPS for each domain."""

    def losses(self, step: int, ramp: float, stream: torch.Generator) -> Losses:
        """The same terms."""
        batches, inter, terms = self.draw(stream), step % 2 == 1, Counter()
        count, nothing = sum(len(batch.images) for batch in batches), replace(batches[0], labels=None)
        for domain, batch in enumerate(batches):
            label, own = 1 - domain if inter else domain, len(batch.images)
            found = self.translator.decode(self.translator.encode(batch.images, domain), label, ramp)
            # The domains before have no images here.
            terms.update(self.segmentation(found, [nothing] * domain + [batch], [0] * domain + [own], inter))
            if not inter:
                terms["reconstruction"] += self.reconstruction(found.image, batch.images) * own / count
                continue
            if batch.paired:
                terms["translation"] += self.reconstruction(found.image[batch.paired], batch.counterparts) / 2
            if self.p.weights.cycle:
                back = resize(found.image.detach(), self.translator.encoder.size)
                cycle = self.translator.decode(self.translator.encode(back, label), domain, ramp)
                share = self.p.weights.cycle * own / count
                terms["cycle"] += self.reconstruction(cycle.image, batch.images) * share
        return terms


class TextbookFactory(TextbookGenerator):
    """The textbook generator, which also hands its feature maps out and takes others back."""

    def synthesise(
        self,
        styles: Tensor,
        noise: Sequence[Tensor] | None = None,
        features: bool = True,
        edit: Callable[[int, Tensor], Tensor] | None = None,
        zoom: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """As :meth:`fedfactory.factory.networks.Generator.synthesise`, with ``features``; the zoom is ours."""
        x, image, maps = self.constant.repeat(len(styles), 1, 1, 1), None, []
        for i, conv in enumerate(self.convs):
            if zoom is not None and i == self.shared_styles:
                x, image = magnify(x, zoom), magnify(image, zoom)
            x = edit(i, conv(x, styles[:, i], None if noise is None else noise[i]))
            maps.append(x)
            if i % 2 == 0:
                rendered = self.to_images[i // 2](x, styles[:, i + 1])
                image = rendered if image is None else upfirdn(image, 2, 1, (2, 1), 4, self.form) + rendered
        return image, maps


@dataclass(frozen=True)
class Variant:
    """Which parts are written the straightforward way.

    Attributes:
        enlarge: the branches enlarge and join all maps.
        apart: domains pass factory and LPIPS one by one.
        factory: form of the textbook factory's blur; None for ours.
        plain_order: the encoder computes in NCHW order.
        fill: torch fills new memory, its default with deterministic algorithms.
    """

    enlarge: bool = False
    apart: bool = False
    factory: BlurForm | None = None
    plain_order: bool = False
    fill: bool = False


VARIANTS = {
    "ours": Variant(),
    "a: branch enlarges and joins all maps": Variant(enlarge=True),
    "b: domains one by one": Variant(apart=True),
    **{f"c: textbook factory, blur {form}": Variant(factory=form) for form in FORMS},
    "d: encoder in NCHW order": Variant(plain_order=True),
    "e: new memory is filled": Variant(fill=True),
    **{f"all, blur {form}": Variant(True, True, form, True, True) for form in FORMS},
}


class VariantCase(Case):
    """A case with other networks and another step, of equal weights.

    Args:
        case: whose weights and data it takes.
        variant: what is different.
    """

    def __init__(self, case: Case, variant: Variant):
        self.scale, self.data, self.perceptual, self.fill = case.scale, case.data, case.perceptual, variant.fill
        self.step_class = ApartStep if variant.apart else target.Step
        self.translator, (generator,) = copy.deepcopy(case.translator), case.translator._generator
        if variant.factory:
            own = TextbookFactory(self.scale.factory.network, variant.factory).to(generator.constant.dtype)
            own.load_state_dict(generator.state_dict())
            generator = own.requires_grad_(False).eval()
        self.translator._generator = (generator,)
        if variant.plain_order:
            # Copies: what has one pixel or channel counts as being in both orders.
            for parameter in self.translator.encoder.parameters():
                parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)
            self.translator.encoder.stem.register_forward_pre_hook(
                lambda _, given: given[0].clone(memory_format=torch.contiguous_format)
            )
        make = EnlargingBranch if variant.enlarge else copy.deepcopy
        self.branches = {domain: make(branch) for domain, branch in case.branches.items()}
        self.branches[SOURCE].requires_grad_(False).eval()

    def step(self, kind: str) -> Losses:
        """Forward and backward."""
        torch.utils.deterministic.fill_uninitialized_memory = self.fill
        try:
            return super().step(kind)
        finally:
            torch.utils.deterministic.fill_uninitialized_memory = False


def difference(ours: Case, other: Case, kind: str, tolerance: float) -> float:
    """Check that two steps are equal.

    Returns:
        The largest relative difference of a loss, or of the gradient of all the encoder's weights together.

    Raises:
        SystemExit: it is above the tolerance.
    """
    wanted, found = ours.step(kind), other.step(kind)
    differences = [abs(float(found[name].detach() / wanted[name].detach() - 1)) for name in wanted]
    gradients = [
        torch.cat([p.grad.flatten() for p in case.translator.encoder.parameters() if p.grad is not None])
        for case in (ours, other)
    ]
    differences.append(float((gradients[1] - gradients[0]).norm() / gradients[0].norm()))
    if not max(differences) <= tolerance or found.keys() != wanted.keys():
        raise SystemExit(f"{kind}: losses or gradients differ by {max(differences):.1e}")
    return max(differences)


def textbook(arguments: argparse.Namespace) -> list[dict[str, str | float]]:
    """Milliseconds of a target's step in every variant, one row each, and their ratios to ours."""
    clock, rows = CLOCKS[arguments.clock], []
    for setup in arguments.setups:
        exact, case = Case(scale_of(setup)).double(), Case(scale_of(setup))
        reference = VariantCase(case, Variant())
        for name, variant in VARIANTS.items():
            other, checked = VariantCase(case, variant), VariantCase(exact, variant)
            differences = [difference(exact, checked, kind, TOLERANCE) for kind in TARGET_STEPS]
            row: dict[str, str | float] = {"setup": setup, "variant": name}
            ratios: dict[str, float] = {}
            for kind in TARGET_STEPS:
                both = in_turns((reference, other), kind, arguments.repetitions, clock)
                row[f"{kind} ms"], ratios[f"{kind} ratio"] = both[1] * 1e3, both[1] / both[0]
            rows.append({**row, **ratios, "largest difference": max(differences)})
    return rows


def in_turns(cases: Sequence[Case], kind: str, repetitions: int, clock: Callable[[], float]) -> list[float]:
    """Median seconds of each case; who comes first changes, since a step also pays for what the one before left."""
    seconds: list[list[float]] = [[] for _ in cases]
    for repetition in range(-1, repetitions):
        for number in list(range(len(cases)))[:: 1 if repetition % 2 else -1]:
            start = clock()
            cases[number].step(kind)
            if repetition >= 0:
                seconds[number].append(clock() - start)
    return [statistics.median(values) for values in seconds]


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="part", required=True)
    for part in ("speed", "parts", "textbook", "measure"):
        sub = commands.add_parser(part)
        sub.add_argument("--threads", type=int, default=1)
        sub.add_argument("--repetitions", type=int, default=10)
        sub.add_argument("--clock", choices=list(CLOCKS), default="cpu")
        if part == "measure":
            sub.add_argument("--setup", required=True)
            sub.add_argument("--step", choices=STEPS, required=True)
            continue
        sub.add_argument("--out", type=Path, required=True, help="folder for the CSV and Markdown tables")
        sub.add_argument("--setups", nargs="+", default=["mm"] if part == "textbook" else ["ms", "mm", "mo"])
        if part != "textbook":
            sub.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS)
        if part == "speed":
            sub.add_argument("--paper", action="store_true", help="one step at the paper's scale instead")
    arguments = parser.parse_args()
    prepare("cpu")
    torch.set_num_threads(arguments.threads)
    if arguments.part == "measure":
        measure(arguments)
    else:
        rows = {"speed": speed, "parts": parts, "textbook": textbook}[arguments.part](arguments)
        paper = arguments.part == "speed" and arguments.paper
        write(rows, arguments.out, f"adaptation_{arguments.part}{'_paper' if paper else ''}")


if __name__ == "__main__":
    main()
