"""Images a second of an adaptation, here and in a clone of an older commit, in turns; run in the environment.

`python -m benchmarks.adaptation_before OLD --out docs/benchmarks`

A training of some steps, intra- and inter-domain ones by turns, with optimisers and the average of the weights, but
without validation and start-up: what a few steps take is taken away from what more steps take. Parameters are those of
each commit's demo, images are random and the factory is untrained, which changes no cost. CPU seconds of one thread.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.adaptation import images_of
from benchmarks.adaptation_cases import METHODS, ROOT, SOURCE, TARGET, Case, scale_of
from benchmarks.tables import write_beside_other_processors
from fedfactory.methods.ours.target import adapt
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.checkpoints import Checkpoints
from fedfactory.training.devices import prepare

_FEW, _MORE = 4, 24
_TURNS = 3


def seconds_of(case: Case, pairs: bool, steps: int) -> float:
    """CPU seconds of a training of some steps."""
    p = case.scale.targets[pairs]
    p = replace(p, schedule=replace(p.schedule, steps=steps, validations=1))
    with tempfile.TemporaryDirectory() as folder:
        checkpoints, progress = Checkpoints(Path(folder), ""), Progress("benchmark")
        networks = case.translator, case.branches[SOURCE], case.branches[TARGET]
        start = time.process_time()
        adapt(*networks, case.data[pairs], p, case.perceptual, 0, checkpoints, progress)
        return time.process_time() - start


def measure(setup: str, method: str) -> None:
    """Print images a step and images a second as JSON."""
    prepare("cpu")
    pairs = method == METHODS[True]
    case = Case(scale_of(setup))
    images = images_of(case.scale, "intra, pairs" if pairs else "intra")
    seconds_of(case, pairs, _FEW)
    few, more = seconds_of(case, pairs, _FEW), seconds_of(case, pairs, _MORE)
    print(json.dumps({"images": images, "rate": images * (_MORE - _FEW) / (more - few)}))


def measured(checkout: Path, setup: str, method: str) -> dict[str, float]:
    """What :func:`measure` prints with the code and the configuration of a checkout."""
    # In older commits the benchmarks are no package: they import one another by name.
    path = os.pathsep.join(str(checkout / part) for part in ("src", "", "benchmarks"))
    # -P: not the modules beside this file, but the checkout's.
    command = [sys.executable, "-P", __file__, "--measure", setup, method]
    environment = os.environ | {"PYTHONPATH": path}
    done = subprocess.run(command, cwd=checkout, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Compare."""
    if sys.argv[1] == "--measure":
        measure(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path, help="clone of the older commit")
    parser.add_argument("--out", type=Path, required=True, help="folder for the CSV and Markdown tables")
    parser.add_argument("--setups", nargs="+", default=["ms", "mm", "mo"])
    arguments = parser.parse_args()
    rows: list[dict[str, str | float]] = []
    for setup in arguments.setups:
        for method in METHODS.values():
            checkouts = arguments.checkout.resolve(), ROOT
            turns = [[measured(checkout, setup, method) for checkout in checkouts] for _ in range(_TURNS)]
            old, now = (statistics.median(found["rate"] for found in side) for side in zip(*turns, strict=True))
            images = [int(found["images"]) for found in turns[0]]
            rows.append({"setup": setup, "method": method})
            rows[-1] |= {"images a step before": images[0], "images a step now": images[1]}
            rows[-1] |= {"images per s before": old, "images per s now": now}
            rows[-1] |= {"ratio": statistics.median(own["rate"] / other["rate"] for other, own in turns)}
    write_beside_other_processors(rows, arguments.out, "adaptation_before")


if __name__ == "__main__":
    main()
