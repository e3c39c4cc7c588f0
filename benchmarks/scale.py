"""How planning, scheduling and preparation grow: `python -m benchmarks.scale --out docs/benchmarks`.

plan: dry runs of the paper's configuration on fixture trees (every release's layout, eight phantom subjects a client),
with one seed and with five, and of a synthetic configuration with 10 000 cells; wall seconds and memory of Snakemake.
schedule: jobs that only sleep, on 64 pretended cores, with the scheduler and the timers of profiles/default: how many
of the 64 are busy on the average once all have started.
prepare: one client's data of 20, 200 and 500 volumes: wall seconds and memory of the job of prepare_client.
slurm: jobs that do nothing, by Snakemake alone and through profiles/slurm on a Slurm of this node, which
`tests/workflow/cluster/one_node.sh` installs and starts (as root); only with `--only slurm`.
"""

import argparse
import csv
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from benchmarks.tables import write
from fedfactory.config.run import load_config
from fedfactory.data.client_tasks import preparation
from fedfactory.phantoms import write_site
from fedfactory.phantoms.layouts import MNMS_TABLE, write_mnms_table

SETUPS = ("ms", "mm", "mo")
VOLUMES = (20, 200, 500)
ROOT = Path(__file__).resolve().parent.parent
SNAKEMAKE = Path(sys.executable).parent / "snakemake"


def measured(command: Sequence[str | Path]) -> tuple[str, dict[str, float]]:
    """Run a command; return what it said, its wall seconds, and the memory of the largest process so far.

    Commands that take more memory come later.
    """
    start = time.monotonic()
    done = subprocess.run([str(word) for word in command], cwd=ROOT, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - start
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    return done.stdout + done.stderr, {"s": seconds, "GiB": memory}


def fixture_trees(root: Path) -> None:
    """A data root in which every client of the three setups has its release's folders, file names and tables."""
    rows = []
    for setup in SETUPS:
        clients = yaml.safe_load((ROOT / f"config/setups/{setup}.yaml").read_text())["clients"]
        for client, entry in clients.items():
            release = root / entry["raw"]
            write_site(setup, client, release, seed=0, subjects=8)
            if setup == "ms":
                # One table for all vendors.
                with (release / MNMS_TABLE).open(newline="") as file:
                    rows += csv.DictReader(file)
    write_mnms_table(root / "MnMs", rows)


def plans(folder: Path) -> list[dict[str, str | float]]:
    """The paper's run with one seed and with five, and a synthetic one with 10 000 cells."""
    fixture_trees(folder / "data")
    own, seeds = folder / "own.yaml", folder / "seeds.yaml"
    own.write_text(yaml.safe_dump({"data": {"root": str(folder / "data")}}))
    seeds.write_text(yaml.safe_dump({"seeds": list(range(56))}))
    paper, five, demo = (ROOT / "config" / name for name in ("paper.yaml", "five_seeds.yaml", "demo.yaml"))
    rows = []
    for name, files in (
        ("paper.yaml, one seed", (paper, own)),
        ("paper.yaml, five seeds", (paper, five, own)),
        ("demo.yaml, 56 seeds", (demo, seeds)),
    ):
        said, cost = measured([SNAKEMAKE, "--dry-run", "--quiet", "rules", "--cores", "1", "--configfile", *files])
        counts = dict(re.findall(r"^(\w+) +(\d+)$", said, re.M))
        rows.append({"configuration": name, "cells": int(counts["score"]), "jobs": int(counts["total"]), **cost})
    return rows


def stand_ins(folder: Path, jobs: int, command: str) -> None:
    """A workflow of jobs that need nothing."""
    (folder / "Snakefile").write_text(
        textwrap.dedent(
            f"""
            rule all:
                input:
                    expand("out/{{number}}", number=range({jobs})),
            rule job:
                output:
                    "out/{{number}}",
                shell:
                    "{command}"
            """
        )
    )


def busy(folder: Path, cores: int, jobs: int, seconds: int) -> dict[str, str | float]:
    """Mean number of busy cores with stand-in jobs of some seconds."""
    stand_ins(folder, jobs, f"date +%s.%N > {{output}}; sleep {seconds}; date +%s.%N >> {{output}}")
    command = [str(SNAKEMAKE), "--cores", str(cores), "--quiet", "--workflow-profile", str(ROOT / "profiles/default")]
    subprocess.run(command, cwd=folder, capture_output=True, check=True)
    times = [tuple(map(float, file.read_text().split())) for file in (folder / "out").iterdir()]
    starts, ends = sorted(start for start, _ in times), sorted(end for _, end in times)
    # From the moment when all cores have had their first job until the last one is started.
    first, last = starts[cores - 1], starts[-1]
    work = sum(min(end, last) - max(start, first) for start, end in times if end > first and start < last)
    return {
        "what": f"{jobs} jobs of {seconds} s",
        "cores": cores,
        "starts per s needed": cores / seconds,
        "s until all cores work": first - starts[0],
        "busy cores": work / (last - first),
        "s in all": ends[-1] - starts[0],
    }


def preparations(folder: Path) -> list[dict[str, str | float]]:
    """One client of MM whose volumes are copies of twenty phantoms."""
    first = folder / "first"
    write_site("mm", "ct", first, seed=0, subjects=20, size=128, slices=32)
    subjects = sorted(first.iterdir())
    file = ROOT / "config/paper.yaml"
    config = load_config(yaml.safe_load(file.read_text()), [file], ROOT)
    parameters = preparation(config, {"setup": "mm", "client": "ct"})
    parameters["task"] |= {"image_size": 128}
    rows = []
    for count in VOLUMES:
        raw, out = folder / f"raw{count}", folder / f"out{count}"
        for number in range(count):
            shutil.copytree(subjects[number % len(subjects)], raw / f"cermep_ct_{number:03d}", copy_function=os.link)
        command = [sys.executable, ROOT / "workflow_scripts/prepare_client.py", "--release", raw]
        command += ["--parameters", json.dumps({**parameters, "adapter": "synthstrip"})]
        command += ["--out", out / "data", "--truth", out / "truth", "--preview", out / "preview.npz"]
        out.mkdir()
        rows.append({"volumes": count, **measured([*command, "--log", out / "log"])[1]})
        shutil.rmtree(out)
    return rows


def overhead(folder: Path) -> list[dict[str, str | float]]:
    """Seconds that a job takes beside its own, on this machine and through Slurm."""
    count, cores = 60, 2
    stand_ins(folder, count, "touch {output}")
    command = [str(SNAKEMAKE), "--quiet", "--cores", str(cores)]
    command += ["--workflow-profile", str(ROOT / "profiles/default")]
    # A node on loopback has no account and no accounting.
    cluster = ["--profile", str(ROOT / "profiles/slurm"), "--slurm-no-account", "--slurm-status-command", "squeue"]
    rows: list[dict[str, str | float]] = []
    for name, options in (("this machine", []), ("Slurm of one node", [*cluster, "--latency-wait", "10"])):
        start = time.monotonic()
        done = subprocess.run([*command, *options], cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        seconds = time.monotonic() - start
        row: dict[str, str | float] = {"executor": name, "jobs": count, "cores": cores}
        rows.append(row | {"s in all": seconds, "s per job": seconds / count})
        shutil.rmtree(folder / "out")
    return rows


PARTS = {
    "plan": plans,
    "schedule": lambda folder: [busy(folder, cores=64, jobs=320, seconds=60)],
    "prepare": preparations,
}
ASKED_FOR = {"slurm": overhead}
"""Only by name."""


def main() -> None:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", choices=PARTS | ASKED_FOR)
    arguments = parser.parse_args()
    if arguments.only is None:
        # A process for each: the memory that is told is that of the largest child so far.
        for name in PARTS:
            subprocess.run(
                [sys.executable, "-m", "benchmarks.scale", "--out", arguments.out, "--only", name], check=True
            )
        return
    with tempfile.TemporaryDirectory() as temporary:
        write((PARTS | ASKED_FOR)[arguments.only](Path(temporary)), arguments.out, f"scale_{arguments.only}")


if __name__ == "__main__":
    main()
