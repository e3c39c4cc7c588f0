"""Whether two runs gave the same bytes: two folders of results, or the story of a cell and a folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fedfactory.errors import FedFactoryError
from fedfactory.provenance.record import digests, file_digest, joint_digest, results_of
from fedfactory.provenance.story import below_run
from fedfactory.storage.files import parse_json

STORY = "cell.json"


@dataclass(frozen=True)
class Comparison:
    """What two runs have in common; names are relative to a run's folder, in the order of the alphabet.

    Attributes:
        same: number of results with the same bytes.
        differing: results with other bytes.
        first: results that only the first one has.
        second: results that only the second one has.
    """

    same: int
    differing: tuple[str, ...]
    first: tuple[str, ...]
    second: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """Whether nothing differs and nothing is missing."""
        return bool(self.same) and not (self.differing or self.first or self.second)

    def report(self) -> list[str]:
        """A line for each difference, and a sum."""
        lines = [f"{name}: other bytes" for name in self.differing]
        lines += [f"{name}: only in the first" for name in self.first]
        lines += [f"{name}: only in the second" for name in self.second]
        return [*lines, f"{self.same} results have the same bytes, {len(lines)} differ or are missing"]


def compare(first: Path, second: Path) -> Comparison:
    """Compare two folders of results file by file, or what a ``cell.json`` says with what lies in a run's folder.

    Records, stories and logs are left out: they hold times and costs.

    Args:
        first: a folder, or the ``cell.json`` of a cell, for instance one that was published.
        second: a folder of the same kind (two runs, two cells), or another ``cell.json``. Beside a ``cell.json`` it is
            the folder of a run, ``results/<run>``.

    Raises:
        FedFactoryError: something is not there, or is no story of a cell.
    """
    one, two = (_story(place) if place.suffix == ".json" else None for place in (first, second))
    if one is None and two is None:
        return _compared(_files(first), _files(second))
    left = one if one is not None else _made(first, two or {})
    right = two if two is not None else _made(second, one or {})
    return _compared(left, right)


def _compared(left: Mapping[str, str], right: Mapping[str, str]) -> Comparison:
    both = sorted(left.keys() & right.keys())
    differing = tuple(name for name in both if left[name] != right[name])
    alone = (tuple(sorted(a.keys() - b.keys())) for a, b in ((left, right), (right, left)))
    return Comparison(len(both) - len(differing), differing, *alone)


def _files(folder: Path) -> dict[str, str]:
    if not folder.is_dir():
        raise FedFactoryError(f"{folder}: is no folder of results; give results/<run>, a folder in it, or a {STORY}")
    results = (file for file in results_of(folder) if file.name != STORY)
    found = {file.relative_to(folder).as_posix(): file_digest(file) for file in results}
    if not found:
        raise FedFactoryError(f"{folder}: holds no results; give results/<run>, a folder in it, or a {STORY}")
    return found


def _story(file: Path) -> dict[str, str]:
    """Everything that the jobs of a cell made, by its name below the run's folder."""
    try:
        jobs = parse_json(file.read_text())["jobs"]
        made = {name: digest for job in jobs for name, digest in job["outputs"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FedFactoryError(f"{file}: is no story of a cell ({error}); give the {STORY} beside its scores") from error
    # The path is results/<run>/<name>: the same result in a run of another name is the same.
    return {below_run(name): digest for name, digest in made.items()}


def _made(run: Path, names: Mapping[str, str]) -> dict[str, str]:
    """The same results as they lie in a run's folder now."""
    if not run.is_dir():
        raise FedFactoryError(f"{run}: is no folder of a run; give results/<run>")
    return {name: joint_digest(digests(run / name)) for name in names if (run / name).exists()}
