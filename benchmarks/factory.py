"""What a step of the factory costs: `python -m benchmarks.factory speed --out docs/benchmarks`, `... memory --out ...`.

``speed`` times the four passes of a training step at the paper's widths, side by side with a textbook StyleGAN2 that
holds the same weights, checks that both give the same images and logits, and combines the passes as they are due: D and
G in every step, R1 in one of 16, path length (half a batch) in one of 4; Adam (torch's fused one, for both) included.
``memory`` measures the peak of one step at 512 pixels, in a process of its own.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.tables import write_beside_other_processors
from benchmarks.textbook_stylegan2 import TextbookDiscriminator, TextbookModel
from fedfactory.factory import losses
from fedfactory.factory.networks import FactoryModel
from fedfactory.factory.parameters import NetworkParameters

CHANNELS = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64}
# How often each pass is due in a step (method, section 3.1).
DUE = {"D": 1.0, "G": 1.0, "R1": 1 / 16, "path length": 1 / 4}
TOLERANCE = 1e-4
# CPU seconds, of one thread, are what to compare on a machine that does other work besides.
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def paper_network(size: int) -> NetworkParameters:
    """The paper's architecture at an image size of choice."""
    return NetworkParameters(
        image_size=size,
        channels={r: c for r, c in CHANNELS.items() if r <= size},
        latent=512,
        mapping_layers=8,
        mapping_rate=0.01,
        weighting="mean",
        label_reaches="all",
        late_from=32,
        client_zoom=False,
        position_width=0.0,
        noise=True,
        position_bins=29,
        key_size=768,
        clients=3,
    )


class Passes:
    """The four passes of a step for one model, on fixed inputs.

    Args:
        model: has ``generator`` and ``discriminator``.
        p: its architecture.
        batch: images of a step.
    """

    def __init__(self, model: nn.Module, p: NetworkParameters, batch: int):
        random = torch.Generator().manual_seed(1)
        self.generator, self.discriminator = model.generator, model.discriminator
        self.optimisers = {
            n: torch.optim.Adam(m.parameters(), 0.002, (0.0, 0.99), fused=True) for n, m in model.named_children()
        }
        self.real = torch.rand(batch, 1, p.image_size, p.image_size, generator=random) * 2 - 1
        self.z = torch.randn(2, batch, p.latent, generator=random)
        self.condition = (
            torch.randint(p.clients, (batch,), generator=random),
            torch.randint(p.position_bins, (batch,), generator=random),
            torch.randn(batch, p.key_size, generator=random),
        )
        self.mean_length = torch.zeros(())

    def run(self, name: str) -> None:
        """Forward, backward and Adam of one pass, by its name in ``DUE``."""
        passes: dict[str, Callable[[], Tensor]] = {
            "D": self.discriminator_pass,
            "G": self.generator_pass,
            "R1": self.r1_pass,
            "path length": self.path_length_pass,
        }
        trained = "discriminator" if name in ("D", "R1") else "generator"
        self.discriminator.requires_grad_(trained == "discriminator")
        self.generator.requires_grad_(trained == "generator")
        self.optimisers[trained].zero_grad()
        passes[name]().backward()
        self.optimisers[trained].step()

    def images(self) -> Tensor:
        """Generated images, with style mixing."""
        return self.generator(self.z[0], *self.condition, mix=(self.z[1], 3))

    def discriminator_pass(self) -> Tensor:
        """Loss of the discriminator."""
        with torch.no_grad():
            images = self.images()
        if isinstance(self.discriminator, TextbookDiscriminator):
            real, generated = (self.discriminator(x, *self.condition) for x in (self.real, images))
        else:
            both = (c.repeat(2, *[1] * (c.dim() - 1)) for c in self.condition)
            real, generated = self.discriminator(torch.cat([self.real, images]), *both, parts=2).chunk(2)
        return losses.discriminator_loss(real, generated)

    def generator_pass(self) -> Tensor:
        """Loss of the generator."""
        return losses.generator_loss(self.discriminator(self.images(), *self.condition))

    def r1_pass(self) -> Tensor:
        """R1, weighted."""
        real = self.real.clone().requires_grad_()
        return losses.r1_penalty(self.discriminator(real, *self.condition), real) * 5 * 16

    def path_length_pass(self) -> Tensor:
        """Path length of half a batch, weighted."""
        half = max(len(self.real) // 2, 1)
        styles = self.generator.styles(self.z[0, :half], *(c[:half] for c in self.condition))
        images = self.generator.synthesise(styles)
        penalty, _ = losses.path_length_penalty(images, styles, torch.randn_like(images), self.mean_length, 0.01)
        return penalty * 2 * 4


def output_difference(ours: nn.Module, textbook: nn.Module, passes: Passes) -> float:
    """Largest absolute difference of images (same noise, of full strength) and logits of two models."""
    noise = [torch.randn(1, 1, 2 ** ((i + 5) // 2), 2 ** ((i + 5) // 2)) for i in range(len(ours.generator.convs))]
    results = []
    with torch.no_grad():
        for model in (ours, textbook):
            styles = model.generator.styles(passes.z[0], *passes.condition)
            images = model.generator.synthesise(styles, noise)
            results.append((images, model.discriminator(passes.real, *passes.condition)))
    return max((a - b).abs().max().item() for a, b in zip(*results, strict=True))


def equal_models(p: NetworkParameters, forms: list[str]) -> dict[str, nn.Module]:
    """Our model and one textbook model for each form of the blur, all with the same weights."""
    torch.manual_seed(0)
    ours = FactoryModel(p)
    with torch.no_grad():
        for conv in ours.generator.convs:
            conv.strength.fill_(0.5)
    models: dict[str, nn.Module] = {"ours": ours}
    for form in forms:
        models[form] = TextbookModel(p, form)
        models[form].load_state_dict(ours.state_dict())
    return models


def time_size(
    size: int, batch: int, repetitions: int, forms: list[str], clock: Callable[[], float]
) -> list[dict[str, str | float]]:
    """Time all passes of all models at one size, taking turns; one row for each textbook form and pass.

    The least of the repetitions counts: whatever else the machine does only ever adds.
    """
    p = paper_network(size)
    models = equal_models(p, forms)
    passes = {name: Passes(model, p, batch) for name, model in models.items()}
    differences = {f: output_difference(models["ours"], models[f], passes["ours"]) for f in forms}
    times: dict[tuple[str, str], list[float]] = {(m, name): [] for m in models for name in DUE}
    for _ in range(repetitions):
        for name in DUE:
            for model in models:
                start = clock()
                passes[model].run(name)
                times[model, name].append(clock() - start)
    rows = []
    for form in forms:
        if differences[form] > TOLERANCE:
            raise SystemExit(f"{size} px, {form}: outputs differ by {differences[form]:.1e}")
        seconds = {m: {n: min(times[m, n]) for n in DUE} for m in ("ours", form)}
        for values in seconds.values():
            values["step"] = sum(DUE[n] * values[n] for n in DUE)
        for name in (*DUE, "step"):
            a, b = seconds[form][name], seconds["ours"][name]
            rows.append({"size": size, "textbook blur": form, "pass": name, "textbook s": a, "ours s": b})
            rows[-1] |= {"ratio": a / b, "largest difference": differences[form]}
    return rows


def speed(arguments: argparse.Namespace) -> list[dict[str, str | float]]:
    """Rows for all sizes."""
    torch.set_num_threads(arguments.threads)
    rows = []
    for size in arguments.sizes:
        rows += time_size(size, arguments.batch, arguments.repetitions, arguments.forms, CLOCKS[arguments.clock])
    return rows


def peak(arguments: argparse.Namespace) -> None:
    """Run every pass once and print the peak resident memory in GiB as JSON; called in a process of its own."""
    torch.set_num_threads(arguments.threads)
    p = paper_network(arguments.size)
    torch.manual_seed(0)
    model = FactoryModel(p) if arguments.model == "ours" else TextbookModel(p, arguments.model)
    passes = Passes(model, p, arguments.batch)
    start = time.perf_counter()
    for name in DUE:
        passes.run(name)
    seconds = time.perf_counter() - start
    print(json.dumps({"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, "seconds": seconds}))


def memory(arguments: argparse.Namespace) -> list[dict[str, str | float]]:
    """Peak memory of one step with all four passes, one row for each model."""
    rows = []
    for model in ("ours", *arguments.forms):
        command = [sys.executable, "-m", "benchmarks.factory", "peak", "--model", model, "--size", str(arguments.size)]
        command += ["--batch", str(arguments.batch), "--threads", str(arguments.threads)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        result = json.loads(done.stdout.splitlines()[-1])
        rows.append(
            {"size": arguments.size, "model": model, "peak GiB": result["peak"], "all passes s": result["seconds"]}
        )
    return rows


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    for part in ("speed", "memory", "peak"):
        sub = parts.add_parser(part)
        sub.add_argument("--batch", type=int, default=2)
        sub.add_argument("--threads", type=int, default=2)
        if part != "peak":
            sub.add_argument("--forms", nargs="*", default=["reshaped", "grouped"], choices=["reshaped", "grouped"])
            sub.add_argument("--out", type=Path, required=True, help="folder for the CSV and Markdown tables")
        if part == "speed":
            sub.add_argument("--sizes", type=int, nargs="+", default=[64, 128])
            sub.add_argument("--repetitions", type=int, default=3)
            sub.add_argument("--clock", choices=list(CLOCKS), default="wall")
        else:
            sub.add_argument("--size", type=int, default=512)
        if part == "peak":
            sub.add_argument("--model", default="ours")
    arguments = parser.parse_args()
    if arguments.part == "peak":
        peak(arguments)
    else:
        rows = {"speed": speed, "memory": memory}[arguments.part](arguments)
        write_beside_other_processors(rows, arguments.out, f"factory_{arguments.part}")


if __name__ == "__main__":
    main()
