"""How often intervals hold the true mean, and how often tests find a difference where there is none.

`python -m benchmarks.coverage --out docs/benchmarks` writes coverage.{csv,md}: bootstrap intervals of the mean, by the
number of subjects; and test_size.{csv,md}: Wilcoxon's test of two rows that are alike over all subjects and seeds, by
the number of training seeds and by how far a seed moves a row (its standard deviation in points of Dice). Subjects
differ by 10 points from each other, and rows by 4 on one subject. A tenth of the repetitions.
"""

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


def size(subjects: int, seeds: int, moved: float, repetitions: int) -> float:
    """Share of comparisons of two rows that are truly alike which are called significant."""
    found = 0
    for seed in range(repetitions):
        rng = np.random.default_rng(seed)
        own = rng.normal(70, 10, subjects)
        rows = {
            name: np.mean([own + rng.normal(0, 4, subjects) + rng.normal(0, moved) for _ in range(seeds)], axis=0)
            for name in ("first", "second")
        }
        (pair,) = statistics.compare_pairs({name: values.tolist() for name, values in rows.items()})
        found += pair.significant
    return found / repetitions


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
        for subjects in (4, 5, 10, 20, 30, 50)
    ]
    tables.write(rows, arguments.out, "coverage")
    repetitions = arguments.repetitions // 10
    sizes = [
        {
            "subjects": str(subjects),
            "seeds": str(seeds),
            **{
                f"a seed moves a row by {moved}": f"{100 * size(subjects, seeds, moved, repetitions):.0f} %"
                for moved in (0, 1, 2, 4)
            },
        }
        for subjects, seeds in ((5, 1), (30, 1), (30, 3))
    ]
    tables.write(sizes, arguments.out, "test_size")


if __name__ == "__main__":
    main()
