"""Whether a folder of results is still what its jobs wrote, and each result still rests on what lies beside it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from fedfactory.errors import FedFactoryError
from fedfactory.orchestration.progress import Progress
from fedfactory.provenance.crate import CRATE
from fedfactory.provenance.record import NAME, digests, file_digest, joint_digest, read_record, results_of
from fedfactory.provenance.story import below_run
from fedfactory.storage.files import files_below, inside


@dataclass
class Verdict:
    """What a check found; paths are relative to the run's folder.

    Attributes:
        files: number of files that are as recorded.
        differing: files whose content is another one than recorded.
        missing: recorded files that are gone.
        unrecorded: files that no job left a record of.
        rebuilt: results with something they were made from that is another one by now.
        absent: what results were made from that is not here at all.
    """

    files: int = 0
    differing: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unrecorded: list[str] = field(default_factory=list)
    rebuilt: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    def sound(self, partial: bool) -> bool:
        """Whether everything is what was recorded; with ``partial`` parts may have been left out as a whole."""
        return not (self.differing or self.missing or self.unrecorded or self.rebuilt or (self.absent and not partial))


def verify(folder: Path, progress: Progress) -> Verdict:
    """Hash everything below a run's folder again.

    Raises:
        FedFactoryError: nothing there has a record, or a record cannot be read.
    """
    found = {file: read_record(file) for file in files_below(folder) if file.name.endswith(NAME)}
    if not found:
        raise FedFactoryError(f"{folder}: nothing in it has a record of a job; give the folder of a run, results/<run>")
    verdict, known, made = Verdict(), set(), {}
    for number, (file, record) in enumerate(found.items(), start=1):
        # Where the record lies says what it is about; what it says it is about is for people.
        place = file.parent if file.name == NAME else file.with_name(file.name[1 : -len(NAME)])
        name = PurePosixPath(place.relative_to(folder).as_posix())
        made[str(name)] = record["sha256"]
        present = digests(place) if place.exists() else {}
        for entry, digest in record["files"].items():
            path = name / entry
            made.setdefault(str(path), digest)
            known.add(inside(folder, str(path), str(file)))
            if entry not in present:
                verdict.missing.append(str(path))
            elif present[entry] != digest:
                verdict.differing.append(str(path))
            else:
                verdict.files += 1
        if joint_digest(record["files"]) != record["sha256"]:
            raise FedFactoryError(f"{file}: its digest is not that of the files it names; make {name} again")
        progress.update(number, len(found), str(name))
    for record in found.values():
        _compare_inputs(record, made, folder, verdict)
    verdict.absent = sorted(set(verdict.absent))
    # The description of the whole is no job's.
    known.add(folder / CRATE)
    verdict.unrecorded = [str(file.relative_to(folder)) for file in results_of(folder) if file not in known]
    return verdict


def report(verdict: Verdict) -> list[str]:
    """What :func:`verify` found, a line each."""
    sentences = {
        "is not what was recorded": verdict.differing,
        "is missing": verdict.missing,
        "was made by no recorded job": verdict.unrecorded,
        "": verdict.rebuilt,
        "is not here, and results were made from it (--partial if it was left out on purpose)": verdict.absent,
    }
    lines = [f"{path}: {what}" if what else path for what, paths in sentences.items() for path in paths]
    return [*lines, f"{verdict.files} files are as their jobs wrote them"]


def _compare_inputs(record: Mapping[str, Any], made: Mapping[str, str], folder: Path, verdict: Verdict) -> None:
    """What a result was made from, against what lies there now."""
    for given, digest in record["inputs"].items():
        name = below_run(given)
        path = inside(folder, name, given)
        if not path.exists():
            verdict.absent.append(name)
        # A part of a folder has no digest of its own: the folder's record tells of the whole.
        elif (made.get(name) or (file_digest(path) if path.is_file() else digest)) != digest:
            verdict.rebuilt.append(f"{below_run(record['made'])}: was made from another {name} than lies there now")
