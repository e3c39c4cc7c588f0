"""What a GPU does with the code that the CPU runs: `python -m benchmarks.gpu --out docs/benchmarks`.

``gpu_steps``: every step of the adaptation with the demo's parameters, rounds of the demo's factories, and steps of
the other rows, on both devices: how far losses and gradients, weights or masks are apart (without TF32, which cuDNN
uses in a training, so that it is the code that is compared), and whether the GPU gives the same bytes twice.
``gpu_paper``: seconds and peak memory of the steps at 512 pixels as a training runs them, ours in batches of two and in
the paper's, in both precisions where there are two.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.adaptation_cases import PAPER, STEPS, Case, scale_of
from benchmarks.method_cases import CASES, NNUNET, SETUP, NnunetNetwork
from benchmarks.method_cases import Case as MethodCase
from benchmarks.tables import write
from fedfactory.factory.local_round import ClientImages, LocalState, local_round
from fedfactory.factory.networks import FactoryModel
from fedfactory.factory.parameters import FactoryParameters
from fedfactory.methods.ours.encoder import TARGET
from fedfactory.training.devices import prepare

SETUPS = ("ms", "mm", "mo")
PRECISIONS = ("float32", "bfloat16")
Row = dict[str, str | float]
_ROUNDS, _REPETITIONS, _SLICES = 3, 3, 24


def factory_parameters(scale: str, precision: str) -> FactoryParameters:
    """Of the demo's setup, or of the paper."""
    p = scale_of(scale).factory
    return replace(p, training=replace(p.training, precision=precision))


class Rounds:
    """A client's rounds of a factory's training on random images.

    Args:
        p: the factory.
        device: ``cpu`` or ``cuda``.
    """

    def __init__(self, p: FactoryParameters, device: str):
        stream, edge = torch.Generator().manual_seed(1), p.network.image_size
        images = torch.rand(_SLICES, 1, edge, edge, generator=stream) * 2 - 1
        key = torch.nn.functional.normalize(torch.randn(p.network.key_size, generator=stream), dim=0)
        positions = torch.arange(_SLICES) % p.network.position_bins
        torch.manual_seed(0)
        self.model, self.parameters, self._number = FactoryModel(p.network).to(device), p, 0
        self._state = LocalState(self.model, p.training)
        self._site = ClientImages(0, images.to(device), positions.to(device), key.to(device))

    def run(self) -> dict[str, float]:
        """The next round; returns its losses."""
        found = local_round(self.model, self._state, self._site, self.parameters, 0, self._number)
        self._number += 1
        return found

    def result(self) -> Tensor:
        """All weights, in one row, on the CPU."""
        return torch.cat([p.detach().flatten().cpu() for p in self.model.parameters()])


def step(case: Case, kind: str) -> tuple[dict[str, float], Tensor]:
    """Losses of a step, and the gradients of E and S in one row, on the CPU."""
    losses = {name: float(value.detach()) for name, value in case.step(kind).items()}
    trained = [*case.translator.encoder.parameters(), *case.branches[TARGET].parameters()]
    return losses, torch.cat([p.grad.flatten().cpu() for p in trained if p.grad is not None])


def steps_row(setup: str, kind: str, cases: dict[str, Case]) -> Row:
    """One step of the adaptation on both devices."""
    (expected, wanted), (found, gradients), (_, again) = (step(cases[d], kind) for d in ("cpu", "cuda", "cuda"))
    return row(setup, kind, expected, found, wanted, gradients, torch.equal(gradients, again))


def runs_row(setup: str, name: str, make: Callable[[str], MethodCase]) -> Row:
    """A few rounds on both devices; the losses of the first one are compared, and what comes out of the last."""
    runs = [make(device) for device in ("cpu", "cuda", "cuda")]
    losses = [[run.run() for _ in range(_ROUNDS)][0] for run in runs]
    expected, found, again = (run.result() for run in runs)
    return row(setup, f"{name}, {_ROUNDS} times", losses[0], losses[1], expected, found, torch.equal(found, again))


def row(
    setup: str, name: str, losses: dict[str, float], found: dict[str, float], wanted: Tensor, got: Tensor, same: bool
) -> Row:
    """How far two devices are apart."""
    return {
        "setup": setup,
        "step": name,
        "largest difference of a loss": max(abs(found[k] - losses[k]) for k in losses),
        "relative difference of gradients, weights or masks": float((got - wanted).norm() / wanted.norm()),
        "the GPU twice the same": "yes" if same else "no",
    }


def timed(run: Callable[[], object]) -> Row:
    """Seconds and peak memory of what is run, after one warm-up."""
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(_REPETITIONS):
        run()
    torch.cuda.synchronize()
    seconds = (time.perf_counter() - start) / _REPETITIONS
    return {"s": seconds, "peak GiB": torch.cuda.max_memory_allocated() / 2**30}


def factory_times() -> list[Row]:
    """Of the factory at 512 pixels."""
    rows = []
    for precision in PRECISIONS:
        p = factory_parameters(PAPER, precision)
        # As many passes as hold an R1 and path lengths.
        passes = p.training.r1_every
        rounds = Rounds(replace(p, federation=replace(p.federation, local_steps=passes)), "cuda")
        rows.append({"step": f"factory, {passes} passes", "precision": precision} | timed(rounds.run))
    return rows


def adaptation_times() -> list[Row]:
    """Of the source branch's and the adaptation's steps at 512 pixels."""
    rows = []
    for small_batches, kinds, batch in (
        (True, STEPS, ""),
        (False, ("source", "intra", "inter"), ", the paper's batch"),
    ):
        case = Case(scale_of(PAPER, small_batches), "cuda")
        for kind in kinds:
            name = kind if kind == "source" else f"target, {kind}"
            rows.append({"step": name + batch, "precision": "float32"} | timed(partial(case.step, kind)))
        del case
    return rows


def other_times() -> list[Row]:
    """Of the other rows' steps at 512 pixels."""
    rows = [{"step": name, "precision": "float32"} | timed(make(PAPER, "cuda").run) for name, make in CASES.items()]
    return [*rows, {"step": NNUNET, "precision": "float16"} | timed(NnunetNetwork("cuda").run)]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    prepare("cuda")
    where = f"{torch.cuda.get_device_name()}, torch {torch.__version__}\n"
    rows = []
    torch.backends.cudnn.allow_tf32 = False
    for setup in SETUPS:
        cases = {device: Case(scale_of(setup), device) for device in ("cpu", "cuda")}
        rows += [steps_row(setup, kind, cases) for kind in STEPS]
        for precision in PRECISIONS:
            p = factory_parameters(setup, precision)
            rows.append(runs_row(setup, f"factory, {precision}", lambda device, p=p: Rounds(p, device)))
    for name, make in CASES.items():
        rows.append(runs_row(SETUP, name, lambda device, make=make: make("demo", device)))
    write(rows, arguments.out, "gpu_steps", where)
    torch.backends.cudnn.allow_tf32 = True
    write(factory_times() + adaptation_times() + other_times(), arguments.out, "gpu_paper", where)


if __name__ == "__main__":
    main()
