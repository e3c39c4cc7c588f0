"""What becomes of results when a module is edited while a workflow runs, and put back.

    python -m benchmarks.edits results/test --out docs/benchmarks
    python -m benchmarks.edits results/test --out docs/benchmarks --name edits_slurm \
        --snakemake="--profile profiles/slurm --group-components scores=2"

In a copy of the project some cells of the finished run of config/test.yaml lose their scores. While Snakemake makes
them again, the Dice function is halved, and put back a while later. Then the same command runs once more. Where the
edit comes before Snakemake has planned the run, jobs are planned with the edited code, and their records say so. A
trial is good if no job that was planned with the code of before left other bytes, if none are left after the second
run, and if nothing but scores was made.
"""

import argparse
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.project_copy import TINY, copy_project
from benchmarks.tables import write
from fedfactory.provenance.record import NAME, file_digest, machine, read_record

_MODULE, _DICE, _HALVED = Path("src/fedfactory/evaluation/dice.py"), "return 2 * int(", "return int("
_CELLS = 6
_LONGEST_EDIT = 5.0


@dataclass(frozen=True)
class Trial:
    """What happened to some cells.

    Attributes:
        edited_after: seconds from the start of Snakemake to the edit.
        lasted: seconds until it was put back.
        made: cells that the run scored in spite of it.
        planned_edited: files with other bytes that were planned with the edited code, and say so.
        mixed: files with other bytes that say that the code of before made them, or that the second run left.
        remade: other files of the run that were made again.
        completed: whether the second run made what was missing.
    """

    edited_after: float
    lasted: float
    made: int
    planned_edited: int
    mixed: int
    remade: int
    completed: bool

    @property
    def good(self) -> bool:
        """Whether nothing is mixed, and nothing else was made."""
        return self.completed and not self.mixed and not self.remade


class Edited:
    """A copy of the project and of a finished run.

    Args:
        run: the finished run of config/test.yaml.
        folder: where the copy is made; must not be there yet.
        options: of Snakemake, beside the configuration.
    """

    def __init__(self, run: Path, folder: Path, options: Sequence[str] = ("--cores", "2")) -> None:
        copy_project(folder)
        self._folder, self._options = folder, options
        self._run = folder / "results" / run.name
        shutil.copytree(run, self._run, symlinks=True)
        self._cells = sorted(str(file.relative_to(folder)) for file in self._run.glob("*/*/*/*/scores.csv"))
        self._files = {name: _of_the_same_job(folder / name) for name in self._cells}
        self._finished = {file: file_digest(file) for files in self._files.values() for file in files}
        self._code = {file: read_record(_record_of(file))["code"] for file in self._finished}
        self._seconds = 0.0

    def trial(self, chance: random.Random) -> Trial:
        """Score some cells while the Dice function is halved for some time."""
        cells = chance.sample(self._cells, _CELLS)
        if not self._seconds:
            self._seconds = self._time(cells)
        self._remove(cells)
        before = self._others(cells)
        after, lasts = chance.uniform(0, self._seconds), chance.uniform(0.05, _LONGEST_EDIT)
        run = self._snakemake(cells)
        time.sleep(after)
        text = (self._folder / _MODULE).read_text()
        assert _DICE in text
        (self._folder / _MODULE).write_text(text.replace(_DICE, _HALVED))
        time.sleep(lasts)
        (self._folder / _MODULE).write_text(text)
        run.communicate()
        made = [name for name in cells if (self._folder / name).exists()]
        wrong = self._wrong(cells)
        edited = [file for file in wrong if read_record(_record_of(file))["code"] != self._code[file]]
        again = self._snakemake(cells)
        again.communicate()
        others = self._others(cells)
        return Trial(
            edited_after=round(after, 1),
            lasted=round(lasts, 1),
            made=len(made),
            planned_edited=len(edited),
            mixed=len(wrong) - len(edited) + len(self._wrong(cells)),
            remade=sum(before.get(name) != digest for name, digest in others.items()) + len(before.keys() - others),
            completed=again.returncode == 0 and all(file.exists() for file in self._made_with(cells)),
        )

    def _time(self, cells: Sequence[str]) -> float:
        """Seconds that a run takes which nobody disturbs."""
        self._remove(cells)
        start = time.monotonic()
        self._snakemake(cells).communicate()
        return time.monotonic() - start

    def _remove(self, cells: Sequence[str]) -> None:
        for file in self._made_with(cells):
            file.unlink(missing_ok=True)
            _record_of(file).unlink(missing_ok=True)

    def _made_with(self, cells: Sequence[str]) -> list[Path]:
        """All that the jobs make which score some cells."""
        return [file for name in cells for file in self._files[name]]

    def _wrong(self, cells: Sequence[str]) -> list[Path]:
        """Which of these files are there with other bytes; a cell's story tells when it was made."""
        files = [file for file in self._made_with(cells) if file.exists() and file.name != "cell.json"]
        return [file for file in files if file_digest(file) != self._finished[file]]

    def _others(self, cells: Sequence[str]) -> dict[str, tuple[str, int]]:
        """Digest and time of all files of the run, records too, but those of some cells' scores."""
        scores = {file for file in self._made_with(cells)}
        scores |= {_record_of(file) for file in scores}
        files = (file for file in self._run.rglob("*") if file.is_file() and file not in scores)
        inside = {str(file.relative_to(self._run)): file for file in files}
        return {
            name: (file_digest(file), file.stat().st_mtime_ns)
            for name, file in inside.items()
            if Path(name).parts[0] not in ("logs", "benchmarks")
        }

    def _snakemake(self, cells: Sequence[str]) -> subprocess.Popen[str]:
        command = [str(Path(sys.executable).parent / "snakemake"), *self._options, "--keep-going"]
        return subprocess.Popen(
            [*command, *TINY, "--", *cells],
            cwd=self._folder,
            env=os.environ | {"PYTHONPATH": str(self._folder / "src")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def _record_of(file: Path) -> Path:
    return file.with_name(f".{file.name}{NAME}")


def _of_the_same_job(scores: Path) -> list[Path]:
    """What the job made that scored a cell, by its records."""
    records = {file: read_record(file) for file in scores.parent.glob(f".*{NAME}")}
    own = records[_record_of(scores)]
    return [
        file.with_name(Path(record["made"]).name) for file, record in records.items() if record["log"] == own["log"]
    ]


def main() -> None:
    """Try and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the finished run of config/test.yaml")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--name", default="edits", help="of the table")
    parser.add_argument("--snakemake", default="--cores 2", help="options of Snakemake, as one text after =")
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        project = Edited(arguments.run, Path(folder) / "project", shlex.split(arguments.snakemake))
        chance = random.Random(0)
        for number in range(1, arguments.trials + 1):
            found = project.trial(chance)
            rows.append(
                {
                    "trial": number,
                    "edited after, s": found.edited_after,
                    "put back after, s": found.lasted,
                    "cells scored": f"{found.made} of {_CELLS}",
                    "planned with the edited code": found.planned_edited,
                    "mixed up": found.mixed,
                    "other files made": found.remade,
                    "good": "yes" if found.good else "no",
                }
            )
            good = sum(row["good"] == "yes" for row in rows)
            below = f"{good} of {len(rows)} good; snakemake {arguments.snakemake}; {machine()['processor']}\n"
            # Each time: twenty trials on a cluster take long.
            write(rows, arguments.out, arguments.name, below)


if __name__ == "__main__":
    main()
