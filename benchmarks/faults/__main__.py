"""Break things on purpose, and write down what happened: `python -m benchmarks.faults --out docs/benchmarks`.

Every fault has a copy of the project with a finished tiny run (config/test.yaml) of its own. After the fault the same
command runs again, and all results must be the bytes of the run that nobody disturbed. Some faults need root (small
file systems). Takes about 20 minutes.
"""

import argparse
import csv
import re
import shutil
import tempfile
import time
from pathlib import Path

from benchmarks.faults.cases import FAULTS, Outcome
from benchmarks.faults.sandbox import Sandbox
from benchmarks.tables import write


def main() -> None:
    """Run all faults, or those whose name matches."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder of the table")
    parser.add_argument("--only", default="", help="regular expression for names of faults; other rows stay")
    parser.add_argument("--finished", type=Path, help="a finished sandbox to start from; made if it is not there")
    arguments = parser.parse_args()
    chosen = [fault for fault in FAULTS if re.search(arguments.only, fault.name)]
    with tempfile.TemporaryDirectory() as temporary:
        base = _base(arguments.finished or Path(temporary) / "finished")
        rows = {} if not arguments.only else _rows(arguments.out / "faults.csv")
        for fault in chosen:
            start = time.monotonic()
            folder = Path(temporary) / "box"
            try:
                outcome = fault.work(Sandbox(folder, base))
            except Exception as error:
                # One that cannot be made here must not lose the others.
                outcome = Outcome(f"**not made**: {type(error).__name__}: {error}", "")
            shutil.rmtree(folder)
            rows[fault.name] = {
                "fault": fault.name,
                "how it was made": fault.made,
                "what happened": outcome.happened,
                "what was lost": outcome.lost,
            }
            # In the order of the list, whichever were made again.
            write([rows[fault.name] for fault in FAULTS if fault.name in rows], arguments.out, "faults")
            print(f"{fault.name} ({time.monotonic() - start:.0f} s): {outcome.happened} | {outcome.lost}", flush=True)


def _rows(file: Path) -> dict[str, dict[str, str]]:
    if not file.exists():
        return {}
    with file.open(newline="") as table:
        return {row["fault"]: row for row in csv.DictReader(table)}


def _base(folder: Path) -> Sandbox:
    """The finished tiny run that all faults start from."""
    box = Sandbox(folder)
    status, said = box.run()
    if status:
        raise SystemExit(said)
    box.whole = box.digests()
    return box


if __name__ == "__main__":
    main()
