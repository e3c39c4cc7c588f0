"""What a factory gives away with and without differential privacy: `python -m benchmarks.privacy --out DIR`.

One run of config/privacy.yaml without a bound, and one for each epsilon: factories, what clients measure of them, and
the cells of the extension that are adapted from them. Nothing but epsilon differs.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean

import yaml

from benchmarks import tables
from benchmarks.cells import ROOT
from fedfactory.storage.tables import read_rows

RUN = ROOT / "config/privacy.yaml"
EPSILONS = (None, 10.0, 3.0, 1.0)
# Of a site's two hundred subjects eight take part in a step, in the mean. Norms of the gradients of one subject lie
# around one where training goes well: the clipping norm is below most of them.
PRIVACY = {"delta": 0.001, "clip": 0.5, "least_subjects": 200, "subjects": 8, "slices": 2, "noise": "seeded"}
TARGETS = {"mm": ("pet", "ct", "t2w"), "mo": ("swi", "octa", "ixi")}
ROW = "ours_paired_strict"


def main() -> None:
    """Make the runs, write and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", default="2")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    lines = []
    for epsilon in EPSILONS:
        results = run(epsilon, arguments.cores)
        lines += [line(results, setup, epsilon) for setup in TARGETS]
    tables.write(lines, arguments.out, "privacy")


def run(epsilon: float | None, cores: str) -> Path:
    """Make the factories of one bound and what follows from them; the folder of the run."""
    name = "privacy_none" if epsilon is None else f"privacy_{epsilon:g}"
    own = {"run": name}
    if epsilon is not None:
        own["factory"] = {"training": {"privacy": {"epsilon": epsilon, **PRIVACY}}}
    results = Path("results") / name
    targets = [results / setup / "factory/seed0" / file for setup in TARGETS for file in ("quality.csv", "privacy.csv")]
    targets += [results / s / t / ROW / "seed0/scores.csv" for s, clients in TARGETS.items() for t in clients]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as overlay:
        yaml.safe_dump(own, overlay)
        overlay.flush()
        command = [sys.executable, "-m", "snakemake", "--cores", cores, *map(str, targets)]
        subprocess.run([*command, "--configfile", str(RUN), overlay.name], check=True, cwd=ROOT)
    return ROOT / results


def line(results: Path, setup: str, epsilon: float | None) -> dict:
    """A row of the table."""
    factory = results / setup / "factory/seed0"
    quality, privacy = read_rows(factory / "quality.csv"), read_rows(factory / "privacy.csv")
    spent = read_rows(factory / "model/epsilon.csv") if epsilon is not None else []
    attacks = {space: [float(row["auc"]) for row in privacy if row["space"] == space]
               for space in ("pixels", "features", "discriminator")}  # fmt: skip
    dice = {t: mean(float(row["dice"]) for row in read_rows(results / setup / t / ROW / "seed0/scores.csv"))
            for t in TARGETS[setup]}  # fmt: skip
    return {
        "setup": setup,
        "epsilon": "none" if epsilon is None else f"{max(float(row['epsilon']) for row in spent):.2f}",
        "delta": spent[0]["delta"] if spent else "",
        "noise multiplier": f"{float(spent[0]['noise_multiplier']):.2f}" if spent else "",
        "closeness": f"{mean(float(row['closeness']) for row in quality):.3f}",
        "untrained": f"{mean(float(row['untrained']) for row in quality):.3f}",
        "copies": sum(int(row["copies"]) for row in privacy if row["copies"]),
        "memorisation gates passed": f"{sum(row['passes'] == '1' for row in privacy if row['passes'])} of "
        f"{sum(bool(row['passes']) for row in privacy)}",
        **{f"membership by {space}, worst AUC": f"{max(values):.2f}" for space, values in attacks.items()},
        **{f"Dice {target}": f"{100 * value:.1f}" for target, value in dice.items()},
        "Dice mean": f"{100 * mean(dice.values()):.1f}",
    }


if __name__ == "__main__":
    main()
