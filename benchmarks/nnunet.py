"""An iteration of an nnU-Net training here beside one of nnU-Net's own command line.

`python -m benchmarks.nnunet results/demo/mm/pdw/nnunet_plan --out docs/benchmarks`. Both train the same plans (the
demo's network and batch) with the stock trainer, 250 training and 50 validation iterations an epoch. The command line
runs once as it comes (a thread for each core, worker processes that augment), and once as trainings run here (one
thread, no worker). What one epoch takes beside start and end is the difference of five epochs and one.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import yaml

from benchmarks.tables import write_beside_other_processors
from fedfactory.config.parameters import read
from fedfactory.methods.nnunet.model import adapted
from fedfactory.methods.nnunet.parameters import NnunetParameters
from fedfactory.methods.nnunet.planning import CONFIGURATION, DATASET, PLANS, read_plan

ROOT = Path(__file__).resolve().parent.parent
ITERATIONS = 250
LONG, SHORT = 5, 1
_HERE = """
import json
import sys
from pathlib import Path
from fedfactory.config.parameters import read
from fedfactory.methods.nnunet.parameters import NnunetParameters
from fedfactory.methods.nnunet.training import train
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.checkpoints import Checkpoints
plans, parameters, out = sys.argv[1:]
parameters = read(NnunetParameters, json.loads(parameters), "parameters")
train(Path(plans), parameters, 0, "cpu", Checkpoints(Path(out) / "work", "x"), Path(out) / "model", Progress("train"))
"""


def seconds(command: list[str], settings: Mapping[str, str]) -> tuple[float, float]:
    """Wall and CPU seconds of a command with all of its processes."""
    before, start = os.times(), time.perf_counter()
    done = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False)
    wall, after = time.perf_counter() - start, os.times()
    # The command line's last act is to score its validation against masks, which a plan of the workflow does not hold.
    if done.returncode and "gt_segmentations" not in done.stderr.rstrip().rpartition("\n")[2]:
        raise SystemExit(done.stdout + done.stderr)
    return wall, sum(after[2:4]) - sum(before[2:4])


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", type=Path, help="folder of a finished demo's rule nnunet_plan")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    demo = yaml.safe_load((ROOT / "config" / "demo.yaml").read_text())["methods"]["nnunet"]["parameters"]
    own = {name: demo[name] for name in ("batch_size", "features_per_stage")}
    own |= {"trainer": "nnUNetTrainer", "iterations_per_epoch": ITERATIONS, "initial_lr": 0.01}
    one_thread = {"OMP_NUM_THREADS": "1", "nnUNet_n_proc_DA": "0"}
    found: dict[str, dict[int, tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        preprocessed = Path(folder) / "preprocessed"
        shutil.copytree(arguments.plan, preprocessed)
        plans, _ = read_plan(preprocessed)
        plans = adapted(plans, read(NnunetParameters, {**own, "epochs": 1}, "parameters"))
        (preprocessed / DATASET / f"{PLANS}.json").write_text(json.dumps(plans))
        places = {"nnUNet_preprocessed": str(preprocessed), "nnUNet_raw": folder, "nnUNet_results": f"{folder}/results"}
        places["nnUNet_compile"] = "f"
        for epochs in (SHORT, LONG):
            trainer = f"nnUNetTrainer_{epochs}epoch{'s' if epochs > 1 else ''}"
            stock = [str(Path(sys.executable).parent / "nnUNetv2_train"), "1", CONFIGURATION, "0"]
            stock += ["-tr", trainer, "-device", "cpu"]
            here = [sys.executable, "-c", _HERE, str(preprocessed), json.dumps({**own, "epochs": epochs})]
            for name, command, settings in (
                ("command line", stock, {}),
                ("command line, one thread, no worker", stock, one_thread),
                ("here", [*here, f"{folder}/{epochs}"], {"OMP_NUM_THREADS": "1"}),
            ):
                found.setdefault(name, {})[epochs] = seconds(command, places | settings)
                print(name, epochs, *found[name][epochs], flush=True)
    count = (LONG - SHORT) * ITERATIONS
    rows: list[dict[str, str | float]] = []
    for name, runs in found.items():
        wall, cpu = (1000 * (runs[LONG][i] - runs[SHORT][i]) / count for i in (0, 1))
        rows.append({"training": name, "wall ms": wall, "CPU ms": cpu})
    write_beside_other_processors(rows, arguments.out, "nnunet_speed")


if __name__ == "__main__":
    main()
