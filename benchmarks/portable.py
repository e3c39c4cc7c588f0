"""On which processors the same bytes were computed: `python -m benchmarks.portable results/test --out docs/benchmarks`.

Compares a finished run of config/test.yaml with the golden digests (benchmarks/golden.py) and adds a row for this
machine's processor to ``portable.csv``. With ``--emulate Haswell EPYC-Rome`` one job of every kind is done again on
processors that QEMU emulates (`apt-get install qemu-user`, version 8 or newer: older ones gather wrongly), from the
same inputs, and its bytes are compared; such rows are named so. With ``--only`` the kinds of a row come together in
several calls; with ``--every`` all jobs of the run are done again, which takes some two hours of a core.
"""

import argparse
import csv
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

from benchmarks.golden import first_difference, read
from benchmarks.replay import ROOT, FinishedJob, finished_jobs, one_of_each, replay
from fedfactory.provenance.record import commit, machine
from fedfactory.storage.tables import to_markdown

_COLUMNS = ("processor", "how", "compared", "same", "date", "commit")
_QEMU = "qemu-x86_64"
_REAL = "real"
_KINDS = "one job of each of these kinds: "


def real(run: Path) -> dict[str, str]:
    """The row of this machine: every array of the whole run."""
    difference = first_difference(run, read())
    compared = f"the whole run of config/test.yaml, {len(read())} files of arrays"
    return row(machine()["processor"], _REAL, compared, difference)


def emulated(run: Path, model: str, scripts: list[str], every: bool, workers: int) -> dict[str, str]:
    """The row of an emulated processor: jobs of the real run, each from the inputs that it had there."""
    version = subprocess.run([_QEMU, "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    found = finished_jobs(run)
    jobs = [job for job in (found if every else one_of_each(found)) if not scripts or job.script in scripts]

    def again(job: FinishedJob) -> list[str]:
        with tempfile.TemporaryDirectory() as folder:
            done = replay(job, run, Path(folder) / "run", python=[str(_emulator(Path(folder) / "emulator", model))])
        if done.status:
            sys.exit(f"{job.name} failed on {model}: {done.said}")
        print(f"{model} {job.name}: {done.seconds:.0f} s, {len(done.differing)} differ", flush=True)
        return [f"{name} ({job.script})" for name in done.differing]

    with ThreadPoolExecutor(workers) as pool:
        wrong = [name for names in pool.map(again, jobs) for name in names]
    kinds = _KINDS + ", ".join(dict.fromkeys(job.script for job in jobs))
    how = f"emulated (QEMU {version}, user mode)"
    return row(model, how, f"every job of config/test.yaml, {len(jobs)}" if every else kinds, ", ".join(wrong) or None)


def row(processor: str, how: str, compared: str, difference: str | None) -> dict[str, str]:
    """A row of the table."""
    return {
        "processor": processor,
        "how": how,
        "compared": compared,
        "same": "yes" if difference is None else f"no: {difference}",
        "date": str(date.today()),
        "commit": (commit() or "")[:12],
    }


def _emulator(folder: Path, model: str) -> Path:
    """A Python that runs on an emulated processor, and all processes that it starts from itself as well."""
    environment = Path(sys.prefix)
    (folder / "bin").mkdir(parents=True)
    (folder / "lib").symlink_to(environment / "lib")
    shutil.copy(environment / "pyvenv.cfg", folder)
    python = folder / "bin" / "python"
    real = Path(sys.executable).resolve()
    python.write_text(f'#!/bin/sh\nexec {_QEMU} -cpu {model} -0 "{python}" "{real}" "$@"\n')
    python.chmod(0o755)
    return python


def main() -> None:
    """Compare, and write the rows beside those of other machines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="results/test of a finished run")
    parser.add_argument("--emulate", nargs="*", default=[], help="models of QEMU, for instance Haswell EPYC-Rome")
    parser.add_argument("--only", nargs="*", default=[], help="scripts to emulate, for instance adapt; all without")
    parser.add_argument("--every", action="store_true", help="emulate every job, not one of each kind")
    parser.add_argument("--workers", type=int, default=1, help="emulated jobs at a time")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks")
    arguments = parser.parse_args()
    rows = [real(arguments.run)]
    for model in arguments.emulate:
        rows.append(emulated(arguments.run, model, arguments.only, arguments.every, arguments.workers))
    file = arguments.out / "portable.csv"
    if file.exists():
        with file.open(newline="") as stream:
            mine = {(row["processor"], row["how"]): row for row in rows}
            for old in csv.DictReader(stream):
                new = mine.get((old["processor"], old["how"]))
                if new is None:
                    rows.append(old)
                elif arguments.only and new["how"] != _REAL and old["same"] == new["same"] == "yes":
                    kinds = [*old["compared"].removeprefix(_KINDS).split(", "), *arguments.only]
                    new["compared"] = _KINDS + ", ".join(dict.fromkeys(kinds))
        rows.sort(key=lambda row: (row["how"] != _REAL, row["processor"]))
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, _COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    file.with_suffix(".md").write_text(to_markdown(rows))
    print(to_markdown(rows))


if __name__ == "__main__":
    main()
