"""What a round of federated training costs: `python -m benchmarks.federation --out docs/benchmarks`.

Trains a few rounds with one local step each, on both engines, once for each number of clients and each size of the
model, and measures seconds per round and bytes across the sites' borders. Every client gets the same store: that of a
finished demo. Two clients train in a round, as in the paper; with `every client` all of them do. `alone` is the local
step without any federation, so that what is left of a round is messages, digests, ledgers, averaging and checkpoints.
"""

import argparse
import csv
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.tables import write
from fedfactory.factory.encoders import SQUEEZENET
from fedfactory.factory.parameters import (
    FactoryParameters,
    FederationParameters,
    NetworkParameters,
    TrainingParameters,
)
from fedfactory.orchestration.progress import Progress

CLIENTS = (3, 8, 32)
# Channels at each resolution and length of a latent; the last are the paper's, at 64 pixels.
WIDTHS = {
    "small": ({4: 64, 8: 64, 16: 32, 32: 16}, 64),
    "middle": ({4: 160, 8: 160, 16: 160, 32: 160}, 160),
    "paper": (dict.fromkeys((4, 8, 16, 32, 64), 512), 512),
}
# A node of Fed-BioMed takes 0.6 GB at rest and imports for 15 s: 32 of them fit no laptop.
LARGEST_FEDBIOMED = 8
ROUNDS = 6
# Of config/paper.yaml: rounds and backward passes of both stages.
PAPER_ROUNDS, PAPER_CLIENTS, PAPER_PASSES = 350 + 35, 2, 350 * 2000 + 35 * 200


@dataclass
class Stopwatch(Progress):
    """Notes when each round ended."""

    ends: list[float] = field(default_factory=list)

    def update(self, done: int, total: int, message: str = "") -> None:
        """A round ended."""
        self.ends.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        """Median time from one round to the next."""
        return statistics.median(b - a for a, b in zip(self.ends, self.ends[1:], strict=False))


def parameters(clients: int, width: str, engine: str, sampled: int) -> FactoryParameters:
    """A short training."""
    channels, latent = WIDTHS[width]
    network = NetworkParameters(
        image_size=max(channels), channels=channels, latent=latent, mapping_layers=4, mapping_rate=0.01,
        weighting="mean", label_reaches="all", late_from=32, client_zoom=False, position_width=0.0, noise=False,
        position_bins=29, key_size=512, clients=clients,
    )  # fmt: skip
    training = TrainingParameters(
        batch=2, copies=1, learning_rate=0.002, r1=1.0, r1_every=0, path_length=0.0, path_length_every=0,
        path_length_decay=0.01, mixing=0.0, ema=0.99, augment_target=0.0, augment_speed=1000, flip=False,
        counting="pair", refinement_weight=1.0, precision="float32",
    )  # fmt: skip
    federation = FederationParameters(
        engine=engine, mode="local", rounds=ROUNDS, local_steps=1, refinement_rounds=0, refinement_steps=1,
        clients_per_round=sampled, persistent_optimisers=True, checkpoint_every=1, snapshots=2, deadline=600,
    )  # fmt: skip
    return FactoryParameters(tuple(f"site{k:02d}" for k in range(clients)), network, training, federation)


def alone(found: FactoryParameters, client: Path) -> tuple[float, int]:
    """Median seconds of one local step in this process, and the model's number of parameters."""
    import torch

    from fedfactory.factory.client_data import load_client
    from fedfactory.factory.local_round import LocalState, local_round
    from fedfactory.factory.networks import FactoryModel

    torch.set_num_threads(1)
    model = FactoryModel(found.network)
    state = LocalState(model, found.training)
    files = client / "data", client / "factory_key.json"
    site = load_client(found.clients[0], *files, {"name": SQUEEZENET}, found, "cpu")
    times = []
    for number in range(ROUNDS):
        start = time.perf_counter()
        local_round(model, state, site, found, 0, number)
        times.append(time.perf_counter() - start)
    return statistics.median(times), sum(weight.numel() for weight in model.parameters())


def measure(found: FactoryParameters, client: Path, workers: int) -> dict[str, float]:
    """Seconds and bytes per round of one short training."""
    from fedfactory.factory.fedbiomed import training as fedbiomed
    from fedfactory.factory.server import FactoryServer
    from fedfactory.factory.training import FactoryTask
    from fedfactory.federation.engines import simulated
    from fedfactory.federation.ledger import read_ledger

    sites = {name: {part: str(client / part) for part in ("data", "factory_key.json")} for name in found.clients}
    watch = Stopwatch("benchmark")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder) / "work"
        task = FactoryTask(found, {"name": SQUEEZENET}, sites, 0, "cpu", "benchmark", workers, work, work / "logs")
        start = time.perf_counter()
        if found.federation.engine == "simulated":
            parties = [task.client_spec(name) for name in found.clients]
            simulated.train(FactoryServer(found, 0, work), parties, task.identity, work, workers, watch)
        else:
            fedbiomed.train(task, watch)
        whole = time.perf_counter() - start
        ledgers = [row for name in found.clients for row in read_ledger(work / "sites" / name / "ledger.csv")]
    crossed = sum(int(row["bytes"]) for row in ledgers if int(row["round"]) >= 0)
    return {"s per round": watch.seconds, "MB per round": crossed / ROUNDS / 1e6, "whole training s": whole}


def rows(client: Path, engines: Sequence[str], workers: int) -> list[dict[str, str | float]]:
    """One row for each training."""
    plans = [(count, "small", 2) for count in CLIENTS] + [(count, "small", count) for count in CLIENTS]
    plans += [(CLIENTS[0], width, 2) for width in WIDTHS if width != "small"]
    steps = {width: alone(parameters(CLIENTS[0], width, "simulated", 2), client) for width in WIDTHS}
    result = []
    for engine in engines:
        for clients, width, sampled in plans:
            if engine == "fedbiomed" and (clients > LARGEST_FEDBIOMED or sampled > 2):
                continue
            seconds, count = steps[width]
            row = {"engine": engine, "clients": clients, "in a round": sampled, "parameters": count}
            row |= measure(parameters(clients, width, engine, sampled), client, workers) | {"alone s": seconds}
            result.append(row)
            print(json.dumps(row), flush=True)
    return result


def paper(found: Sequence[dict[str, str | float]], count: int, passes: Path) -> str:
    """The paper's whole federation on paper: bytes from the parameters, seconds from what was measured.

    Args:
        found: what :func:`rows` found.
        count: parameters of the paper's model.
        passes: what `benchmarks/factory.py memory` found; its four passes stand for the training's.
    """
    message = 4 * count
    total = message * 2 * PAPER_CLIENTS * PAPER_ROUNDS
    lines = [
        f"At paper scale a message is {count / 1e6:.1f} M parameters, {message / 1e6:.0f} MB."
        f" {PAPER_ROUNDS} rounds with {PAPER_CLIENTS} clients, in and out: {total / 1e9:.0f} GB across all borders.",
        "What the engine adds, scaled from the largest model above by its parameters:",
        "",
    ]
    for engine in dict.fromkeys(row["engine"] for row in found):
        row = max((row for row in found if row["engine"] == engine), key=lambda row: row["parameters"])
        # Sampled clients train side by side: one step is in the round, the rest is the engine's.
        extra = max(row["s per round"] - row["alone s"], 0.0) * count / row["parameters"]
        lines.append(f"- {engine}: {extra:.1f} s per round, {extra * PAPER_ROUNDS / 60:.0f} minutes for the whole.")
    if passes.is_file():
        with passes.open(newline="") as file:
            row = next(csv.DictReader(file))
        seconds = float(row["all passes s"]) / 4
        days = seconds * PAPER_PASSES / 86400
        lines += [
            "",
            f"The training itself: {PAPER_PASSES} backward passes of each of two clients. One takes {seconds:.1f} s on",
            f"this CPU at {row['size']} pixels (mean of the four kinds), all of them {days:.0f} days: work for a GPU,",
            "of which none was at hand to measure.",
        ]
    return "\n".join(lines) + "\n"


def draw(found: Sequence[dict[str, str | float]], file: Path) -> None:
    """Seconds per round against clients and against parameters."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    smallest = min(row["parameters"] for row in found)
    for number, engine in enumerate(dict.fromkeys(row["engine"] for row in found)):
        own = [row for row in found if row["engine"] == engine]
        for all_clients, style in ((False, "-o"), (True, "--s")):
            line = [r for r in own if r["parameters"] == smallest and (r["in a round"] == r["clients"]) == all_clients]
            if line:
                label = f"{engine}, {'every client' if all_clients else '2 clients'} in a round"
                places = [r["clients"] for r in line], [r["s per round"] for r in line]
                left.plot(*places, style, color=f"C{number}", label=label)
        line = sorted((r for r in own if r["clients"] == CLIENTS[0] and r["in a round"] == 2), key=_parameters)
        sizes, seconds = [_parameters(r) for r in line], [r["s per round"] for r in line]
        right.plot(sizes, seconds, "-o", color=f"C{number}", label=engine)
    steps = {_parameters(r): r["alone s"] for r in sorted(found, key=_parameters)}
    right.plot(list(steps), list(steps.values()), ":", color="grey", label="the step alone")
    left.set(xlabel="clients", ylabel="seconds per round", xscale="log", yscale="log")
    right.set(xlabel="parameters", xscale="log", yscale="log")
    left.set_xticks(CLIENTS, [str(count) for count in CLIENTS])
    left.minorticks_off()
    for axis in (left, right):
        axis.legend(frameon=False, fontsize=7)
    figure.savefig(file, dpi=120, metadata={"Software": None})


def _parameters(row: dict[str, str | float]) -> float:
    return row["parameters"]


def main() -> None:
    """Measure, and write table, plot and the paper's cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--client", type=Path, default=Path("results/demo/mm/pdw"), help="a client of a finished demo")
    parser.add_argument("--engines", nargs="+", choices=("simulated", "fedbiomed"), default=["simulated", "fedbiomed"])
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="clients that train at the same time")
    parser.add_argument("--parameters", type=int, default=60_300_000, help="of the paper's model: see its test")
    parser.add_argument("--out", type=Path, required=True, help="folder for the tables and the plot")
    arguments = parser.parse_args()
    if not (arguments.client / "factory_key.json").is_file():
        parser.error(
            f"{arguments.client} holds no factory_key.json; run the demo first, or name another client's folder"
        )
    found = rows(arguments.client, arguments.engines, arguments.workers)
    on_paper = paper(found, arguments.parameters, arguments.out / "factory_memory.csv")
    write(found, arguments.out, "federation", on_paper)
    draw(found, arguments.out / "federation.png")


if __name__ == "__main__":
    main()
