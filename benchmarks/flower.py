"""What a round costs in Flower's simulation, for comparison with `benchmarks.federation`.

    python3.11 -m venv FOLDER && FOLDER/bin/pip install 'flwr[simulation]==1.42.0'
    FOLDER/bin/python -m benchmarks.flower --out docs/benchmarks

Flower is none of this project's packages: it runs in an environment of its own. Clients send back the arrays that they
get, so that a round is messages and averaging. In docs/benchmarks/federation.csv the same is `s per round` less
`alone s`, with digests, ledgers and a checkpoint in every round.
"""

import argparse
import csv
import statistics
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

from benchmarks.tables import write

ARRAYS = 60
ROUNDS = 12


class Timed(FedAvg):
    """Federated averaging that notes when each round was averaged."""

    ends: list[float]

    def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Any:
        """Average, and look at the clock."""
        averaged = super().aggregate_train(server_round, replies)
        self.ends.append(time.perf_counter())
        return averaged


def seconds(clients: int, sampled: int, parameters: int) -> float:
    """Median seconds from one round to the next."""
    client, server, strategy = ClientApp(), ServerApp(), Timed(fraction_train=sampled / clients, fraction_evaluate=0.0)
    strategy.ends = []

    @client.train()
    def train(message: Message, context: Context) -> Message:
        content = RecordDict({"arrays": message.content["arrays"], "metrics": MetricRecord({"num-examples": 1})})
        return Message(content=content, reply_to=message)

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        arrays = ArrayRecord([np.zeros(parameters // ARRAYS, np.float32) for _ in range(ARRAYS)])
        strategy.start(grid=grid, initial_arrays=arrays, num_rounds=ROUNDS)

    resources = {"client_resources": {"num_cpus": 1, "num_gpus": 0.0}}
    run_simulation(server_app=server, client_app=client, num_supernodes=clients, backend_config=resources)
    return statistics.median(b - a for a, b in zip(strategy.ends, strategy.ends[1:], strict=False))


def main() -> None:
    """Measure what `benchmarks.federation` measured with the simulated engine, and write both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder with federation.csv")
    arguments = parser.parse_args()
    with (arguments.out / "federation.csv").open(newline="") as file:
        ours = [row for row in csv.DictReader(file) if row["engine"] == "simulated"]
    rows: list[dict[str, str | float]] = []
    for row in ours:
        clients, sampled, parameters = (int(row[name]) for name in ("clients", "in a round", "parameters"))
        # Sampled clients train side by side, two at a time on two cores.
        own = float(row["s per round"]) - float(row["alone s"]) * -(-sampled // 2)
        flower = seconds(clients, sampled, parameters)
        rows.append({"clients": clients, "in a round": sampled, "parameters": parameters})
        rows[-1] |= {"here s": own, "Flower s": flower}
        print(rows[-1], flush=True)
    write(rows, arguments.out, "flower")


if __name__ == "__main__":
    main()
