"""What bits that do not depend on the processor cost.

    python -m benchmarks.portable_cost results/demo --out docs/benchmarks

One job of every kind of a finished run is done again, in turns with the portable settings (`device: cpu`) and with
whatever kernels are fastest here (`device: cpu-fast`); CPU seconds, the median of three. The last row weighs kinds by
the CPU seconds that their jobs took in the run.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.replay import FinishedJob, finished_jobs, one_of_each, replay
from benchmarks.tables import write
from fedfactory.orchestration.portable import NATIVE
from fedfactory.provenance.record import machine

_REPETITIONS = 3
_DEVICES = ("cpu", NATIVE)


def seconds(job: FinishedJob, run: Path, repetitions: int) -> dict[str, float]:
    """CPU seconds of a job on each device."""
    found: dict[str, list[float]] = {device: [] for device in _DEVICES}
    for _ in range(repetitions):
        for device in _DEVICES:
            with tempfile.TemporaryDirectory() as folder:
                done = replay(job, run, Path(folder) / "run", device=device)
            if done.status:
                raise SystemExit(f"{job.name} failed: {done.said}")
            found[device].append(done.cpu_seconds)
    return {device: median(values) for device, values in found.items()}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a finished run, results/demo")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=[], help="scripts to measure; all without")
    parser.add_argument("--repetitions", type=int, default=_REPETITIONS)
    arguments = parser.parse_args()
    jobs = finished_jobs(arguments.run)
    rows, sums = [], dict.fromkeys(_DEVICES, 0.0)
    for job in one_of_each(jobs):
        if "--device" not in job.arguments or (arguments.only and job.script not in arguments.only):
            # Its libraries have the portable settings whatever the device is.
            continue
        kind = [other for other in jobs if one_of_each([job, other]) == [job]]
        took = seconds(job, arguments.run, arguments.repetitions)
        total = sum(other.cpu_seconds for other in kind)
        for device in _DEVICES:
            sums[device] += total * took[device] / took["cpu"]
        rows.append(
            {
                "job": job.script,
                "jobs of the run": len(kind),
                **{f"{device}, CPU s": round(took[device], 2) for device in _DEVICES},
                "ratio": round(took["cpu"] / took[NATIVE], 2),
            }
        )
        print(rows[-1], flush=True)
    ratio = {"job": "all of them, by the run's CPU seconds", "jobs of the run": sum(r["jobs of the run"] for r in rows)}
    ratio |= {f"{device}, CPU s": round(sums[device]) for device in _DEVICES}
    rows.append(ratio | {"ratio": round(sums["cpu"] / sums[NATIVE], 2)})
    write(rows, arguments.out, "portable_cost", f"{machine()['processor']}\n")


if __name__ == "__main__":
    main()
