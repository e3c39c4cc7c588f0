"""What a step of the adaptation costs; run in the environment, no result of the demo is read.

- `python -m benchmarks.adaptation speed --out docs/benchmarks`: steps per second and peak memory with the demo's
  parameters of every setup; `... speed --paper --out ...`: one step of each kind at 512 pixels.
- `python -m benchmarks.adaptation parts --out docs/benchmarks`: where a step's time goes.
- `python -m benchmarks.adaptation textbook --out docs/benchmarks`: the same step written the straightforward way, with
  the same weights and, as is checked, the same losses and gradients.

A step is forward and backward, without the optimiser, on random images and an untrained factory: what the weights and
images are does not change what they cost. Times are medians of CPU seconds of one thread, as the demo's jobs use, since
other work on the machine hardly adds to those; whatever is compared takes turns.
"""

import argparse
import dataclasses
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from benchmarks.adaptation_cases import PAPER, STEPS, TARGET_STEPS, Case, Scale, scale_of
from benchmarks.tables import write
from benchmarks.textbook_adaptation import TOLERANCE, VARIANTS, Variant, VariantCase, difference
from fedfactory.factory.layers import magnify
from fedfactory.methods.ours import source, target, translator
from fedfactory.methods.ours.encoder import SOURCE, TARGET
from fedfactory.methods.ours.losses import reconstruction_loss
from fedfactory.training.devices import prepare
from fedfactory.training.losses import segmentation_loss

CLOCKS = {"cpu": time.process_time, "wall": time.perf_counter}


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
            command = [sys.executable, "-m", "benchmarks.adaptation", "measure", "--setup", setup, "--step", step]
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
    e, s = case.translator.encoder, target if kind != "source" else source
    found = {
        "encoder": (e, "forward", e.forward),
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


# Beside the straightforward way.


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
