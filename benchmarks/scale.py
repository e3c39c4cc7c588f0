"""How planning and scheduling grow: `python benchmarks/scale.py --out docs/benchmarks`.

plan: dry runs of the paper's configuration with five seeds, and of a synthetic one with 10 000 cells; wall seconds and
memory of the one Snakemake process.
schedule: jobs that only sleep, on 64 pretended cores, with the scheduler and the timers of profiles/default: how many
of the 64 are busy on the average once all have started.
"""

import argparse
import re
import resource
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import yaml
from tables import write

ROOT = Path(__file__).resolve().parent.parent
SNAKEMAKE = Path(sys.executable).parent / "snakemake"


def planned(name: str, files: list[Path]) -> dict[str, str | float]:
    """One dry run, in a process of its own, so that its memory can be told."""
    start = time.monotonic()
    command = [str(SNAKEMAKE), "--dry-run", "--quiet", "--cores", "1", "--configfile", *map(str, files)]
    # The largest child so far counts, and the runs are ordered by size.
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - start
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    counts = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.M))
    return {
        "what": name,
        "cells": int(counts["score"]),
        "jobs": int(counts["total"]),
        "s": seconds,
        "GiB": memory,
    }


def plans(folder: Path) -> list[dict[str, str | float]]:
    """The paper's run with five seeds, and a synthetic one with 10 000 cells."""
    seeds = folder / "seeds.yaml"
    seeds.write_text(yaml.safe_dump({"seeds": list(range(112))}))
    return [
        planned("config/paper.yaml, one seed", [ROOT / "config/paper.yaml"]),
        planned("config/paper.yaml, five seeds", [ROOT / "config/paper.yaml", ROOT / "config/five_seeds.yaml"]),
        planned("config/demo.yaml, 112 seeds", [ROOT / "config/demo.yaml", seeds]),
    ]


def busy(folder: Path, cores: int, jobs: int, seconds: int) -> dict[str, str | float]:
    """Mean number of busy cores with stand-in jobs of some seconds."""
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
                    "date +%s.%N > {{output}}; sleep {seconds}; date +%s.%N >> {{output}}"
            """
        )
    )
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


def main() -> None:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", choices=("plan", "schedule"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        if arguments.only != "schedule":
            write(plans(Path(temporary)), arguments.out, "scale_plan")
        if arguments.only != "plan":
            write([busy(Path(temporary), cores=64, jobs=320, seconds=60)], arguments.out, "scale_schedule")


if __name__ == "__main__":
    main()
