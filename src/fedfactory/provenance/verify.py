"""Whether a folder of results is still what its jobs wrote: every file that a record names, hashed again."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from fedfactory.errors import FedFactoryError
from fedfactory.progress import Progress
from fedfactory.provenance.lineage import Run
from fedfactory.provenance.record import digests

# Written beside results for people and for Snakemake; they say nothing about a number.
_ASIDE = ("logs", "benchmarks", "records")


@dataclass
class Verdict:
    """What a check found; paths are relative to the run's folder.

    Attributes:
        files: number of files that are as recorded.
        differing: files whose content is another one than recorded.
        missing: files that are gone from something that is there.
        absent: recorded things of which nothing is there: not published, or removed on purpose.
        unrecorded: files that no job of this run left a record of.
    """

    files: int = 0
    differing: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    unrecorded: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether everything that is there is what was recorded."""
        return not (self.differing or self.missing or self.unrecorded)


def verify(folder: Path, progress: Progress) -> Verdict:
    """Hash everything below a run's folder again.

    Raises:
        FedFactoryError: the folder has no records, or one that cannot be read.
    """
    run, verdict = Run(folder), Verdict()
    records = list(run.records())
    if not records:
        raise FedFactoryError(
            f"{folder} has no folder 'records' with the records of jobs; give the folder of a run, results/<run>"
        )
    known: set[Path] = set()
    for number, record in enumerate(records, start=1):
        place, name = run.place(record["made"]), PurePosixPath(*PurePosixPath(record["made"]).parts[2:])
        expected = record["files"]
        found = digests(place) if place.exists() else {}
        files = {entry: name / entry for entry in expected}
        known |= {folder / path for path in files.values()}
        if not found and expected:
            verdict.absent.append(str(name))
            continue
        for entry, path in files.items():
            if entry not in found:
                verdict.missing.append(str(path))
            elif found[entry] != expected[entry]:
                verdict.differing.append(str(path))
            else:
                verdict.files += 1
        progress.update(number, len(records), str(name))
    verdict.unrecorded = [str(file.relative_to(folder)) for file in _published(folder) if file not in known]
    return verdict


def report(verdict: Verdict) -> list[str]:
    """What :func:`verify` found, a line each."""
    sentences = {
        "is not what was recorded": verdict.differing,
        "is missing": verdict.missing,
        "was made by no recorded job": verdict.unrecorded,
    }
    lines = [f"{path}: {what}" for what, paths in sentences.items() for path in paths]
    if verdict.absent:
        lines.append(f"not here, so not checked: {', '.join(verdict.absent)}")
    return [*lines, f"{verdict.files} files are as their jobs wrote them"]


def _published(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("*")):
        parts = file.relative_to(folder).parts
        if file.is_file() and parts[0] not in _ASIDE and not any(part.startswith(".") for part in parts):
            yield file
