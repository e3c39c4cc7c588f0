"""What one cell of the table takes again: `python -m benchmarks.one_cell results/demo --out docs/benchmarks`.

Of every method one cell is moved out of the way and made again as a reviewer would, by naming its `scores.csv`. Wall
seconds of the whole command beside those of the cell's own jobs; what is left is the start of Snakemake, of the process
that the jobs are forked from, and of each job. The cell that was there comes back, and must have the same scores.
"""

import argparse
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.cells import CONFIG, ROOT
from benchmarks.scale import SNAKEMAKE
from benchmarks.tables import write
from fedfactory.config.run import load_config, read_yaml
from fedfactory.provenance.job_costs import job_costs


def again(cell: Path, aside: Path) -> dict[str, str | float]:
    """Make a cell again, and say what it took."""
    scores = cell / "scores.csv"
    before = scores.read_bytes()
    shutil.move(cell, aside)
    try:
        start = time.monotonic()
        command = [SNAKEMAKE, "--cores", "1", "--quiet", "all", "--", scores]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        seconds = time.monotonic() - start
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        if scores.read_bytes() != before:
            raise SystemExit(f"{scores} is not what it was")
        jobs = job_costs(cell)
    finally:
        shutil.rmtree(cell, ignore_errors=True)
        shutil.move(aside, cell)
    own = sum(job.seconds for job in jobs)
    return {"jobs": len(jobs), "s in all": seconds, "s of its jobs": own, "s beside them": seconds - own}


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the finished demo")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    config = load_config(read_yaml(CONFIG, CONFIG.name), [CONFIG], ROOT)
    setup = config.setups["mm"]
    rows: list[dict[str, str | float]] = []
    with tempfile.TemporaryDirectory(dir=arguments.run) as folder:
        for method in config.methods:
            cell = arguments.run / setup.name / setup.targets[0] / method / f"seed{config.seeds[0]}"
            rows.append({"cell": cell.relative_to(arguments.run).as_posix(), **again(cell, Path(folder) / method)})
    write(rows, arguments.out, "one_cell")


if __name__ == "__main__":
    main()
