"""How often bootstrap intervals hold the true mean, by the number of subjects: docs/benchmarks/coverage.{csv,md}."""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks import tables
from fedfactory.evaluation import statistics

DRAWS: dict[str, tuple[Callable[[np.random.Generator, int], np.ndarray], float]] = {
    "normal": (lambda rng, n: rng.normal(60, 10, n), 60.0),
    "skewed (Beta 8, 2)": (lambda rng, n: 100 * rng.beta(8, 2, n), 80.0),
}


def coverage(name: str, subjects: int, repetitions: int) -> float:
    """Share of intervals that hold the mean that values were drawn with."""
    draw, truth = DRAWS[name]
    held = 0
    for seed in range(repetitions):
        values = draw(np.random.default_rng(seed), subjects).tolist()
        low, high = statistics.confidence_interval(values, repetitions + seed)
        held += low <= truth <= high
    return held / repetitions


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--repetitions", type=int, default=2000)
    arguments = parser.parse_args()
    rows = [
        {
            "subjects": str(subjects),
            **{name: f"{100 * coverage(name, subjects, arguments.repetitions):.1f} %" for name in DRAWS},
        }
        for subjects in (4, 5, 10, 20, 50)
    ]
    tables.write(rows, arguments.out, "coverage")


if __name__ == "__main__":
    main()
