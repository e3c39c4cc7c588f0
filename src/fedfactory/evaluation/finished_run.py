"""A finished run, as it is merged with others: what its cells are, and what made them."""

from __future__ import annotations

import csv
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Any, Self

from fedfactory.config.models import STRICT_TABLE
from fedfactory.errors import FedFactoryError
from fedfactory.evaluation.scores import score_client
from fedfactory.evaluation.table_cells import Key
from fedfactory.orchestration.labels import Labels
from fedfactory.orchestration.progress import Progress
from fedfactory.provenance.record import NAME, read_record
from fedfactory.provenance.story import below_run, read_story, story_of
from fedfactory.provenance.verify import report, verify
from fedfactory.storage.files import parse_json

SEED = "seed"
"""Of a training, by the name of its argument; of data, by the key of their parameters; a column of scores."""
# Where a job writes is its name in the run; which inputs it has is told by their digests.
_TOLD = ("code", "log")
_LABELS = "--labels"


@dataclass(frozen=True)
class Run:
    """A run's folder.

    Attributes:
        folder: ``results/<run>``, here or anywhere.
        spec: of its table (:mod:`fedfactory.evaluation.specification`).
        strict: whether that is the table of the strict protocol.
    """

    folder: Path
    spec: Mapping[str, Any]
    strict: bool

    @classmethod
    def read(cls, folder: Path, table: str) -> Self:
        """Read a run, after a look at all of its files.

        Raises:
            FedFactoryError: a file is not what its job wrote, or there is no such table.
        """
        verdict = verify(folder, Progress(f"verify {folder}"))
        if not verdict.sound(partial=True):
            raise FedFactoryError(f"{folder}: {report(verdict)[0]}; merge runs as their jobs left them")
        file = folder / f".{table}.csv{NAME}"
        if not file.is_file():
            raise FedFactoryError(f"{folder} has no record of {table}.csv; give the folder of a finished run")
        spec = parse_json(argument_of(read_record(file), "--parameters"))
        for row in spec["rows"]:
            # In runs from before, rows of a section were bounds.
            row.setdefault("bound", bool(row["section"]))
        return cls(folder, spec, table == STRICT_TABLE)

    @property
    def rows(self) -> dict[str, Mapping[str, Any]]:
        """Rows of its table by their names."""
        return {row["method"]: row for row in self.spec["rows"]}

    @property
    def keys(self) -> list[Key]:
        """Its cells: (setup, target, method)."""
        return [(c["setup"], c["target"], row) for c in self.spec["columns"] for row in self.rows]

    def predictions(self, key: Key, seed: int) -> Path:
        """Predictions of a cell, which may have been left out."""
        return self.scores(key, seed).parent / "predictions"

    def has_truth(self, key: Key) -> bool:
        """Whether a target's data are there by which its cells are scored."""
        target = self.folder.joinpath(*key[:2])
        return (target / "data").is_dir() and (target / "truth").is_dir()

    def scores(self, key: Key, seed: int) -> Path:
        """Score file of a cell."""
        return self.folder.joinpath(*key, f"seed{seed}", "scores.csv")

    @cached_property
    def stories(self) -> dict[tuple[Key, int], dict[str, Any]]:
        """What made each cell.

        Raises:
            FedFactoryError: a story that is not that of the cell's own records, or of another cell.
        """
        found = {}
        for key in self.keys:
            for seed in self.spec["seeds"]:
                scores = self.scores(key, seed)
                story, told = read_story(scores), story_of(self.record(key, seed))
                if [job["outputs"] for job in story["jobs"]] != [job["outputs"] for job in told["jobs"]] or (
                    identity(story) != identity(told)
                ):
                    raise FedFactoryError(f"{scores.parent}/cell.json is not the story of its records; make it again")
                if told["cell"] != dict(zip(("setup", "target", "method", SEED), (*key, seed), strict=True)):
                    other = self.record(key, seed)["made"]
                    raise FedFactoryError(f"{scores}: its record is that of another cell, {other}")
                self._check_rows(scores, key, seed)
                self._check_labels(story, key, seed)
                found[key, seed] = story
        return found

    def data(self, key: Key, seed: int) -> str:
        """Digest of the truth that a cell was scored on."""
        inputs = self.record(key, seed)["inputs"]
        return next(digest for name, digest in inputs.items() if PurePosixPath(name).name == "truth")

    def record(self, key: Key, seed: int) -> dict[str, Any]:
        """Record of a cell's scores."""
        return self._records[key, seed]

    @cached_property
    def _records(self) -> dict[tuple[Key, int], dict[str, Any]]:
        found = {(key, seed): self.scores(key, seed) for key in self.keys for seed in self.spec["seeds"]}
        return {cell: read_record(scores.with_name(f".{scores.name}{NAME}")) for cell, scores in found.items()}

    def score_again(self, key: Key, seed: int, other: Run) -> None:
        """Score a cell from its predictions and the truth of another run.

        Raises:
            FedFactoryError: that gives other figures than the cell's own file.
        """
        scores, target, record = self.scores(key, seed), other.folder.joinpath(*key[:2]), self.record(key, seed)
        p, labels = parse_json(argument_of(record, "--parameters")), Labels.from_json(argument_of(record, "--labels"))
        with tempfile.TemporaryDirectory() as folder:
            again = Path(folder) / scores.name
            score_client(p, labels, target / "data", target / "truth", self.predictions(key, seed), again)
            if again.read_bytes() != scores.read_bytes():
                raise FedFactoryError(
                    f"{scores} has other figures than its predictions have on {target}/truth; score the cell again"
                )

    def _check_labels(self, story: Mapping[str, Any], key: Key, seed: int) -> None:
        """The labels that a table counts are all that jobs at the target saw; in the strict protocol none chose."""
        counted = Labels.from_json(argument_of(self.record(key, seed), "--labels"))
        for job in story["jobs"]:
            at_target = any(below_run(name).startswith(f"{key[0]}/{key[1]}/") for name in job["outputs"])
            if at_target and _LABELS in job["arguments"]:
                seen = Labels.from_json(argument_of(job, _LABELS))
                if not counted.covers(seen):
                    raise FedFactoryError(
                        f"{self.scores(key, seed)}: counts other labels ({counted.in_words() or 'none'}) than its "
                        f"job '{job['job']}' saw ({seen.in_words()}); score the cell with all of them"
                    )
        if self.strict and counted.validation and not self.rows[key[2]]["bound"]:
            raise FedFactoryError(
                f"{self.scores(key, seed)}: labelled validation volumes of its target chose something, which the "
                "strict protocol does not allow; take its row out of the table"
            )

    def _check_rows(self, scores: Path, key: Key, seed: int) -> None:
        with scores.open(newline="") as file:
            for row in csv.DictReader(file):
                if (row["setup"], row["target"], row["method"], row[SEED]) != (*key, str(seed)):
                    raise FedFactoryError(f"{scores} holds a row of another cell; score the cell again")


def identity(story: Mapping[str, Any]) -> dict[str, Any]:
    """What made a cell, but for the run's name, seeds and subjects: job and what it made -> code and arguments."""
    return {
        f"{job['job']} {' '.join(sorted(_plain_path(name) for name in job['outputs']))}": (
            job["code"],
            [plain(text) for text in without_seed(job["arguments"])],
        )
        for job in story["jobs"]
    }


def argument_of(record: Mapping[str, Any], name: str) -> str:
    """An argument of a job's command line.

    Raises:
        FedFactoryError: the job had none of that name.
    """
    arguments = record["arguments"]
    if name not in arguments[:-1]:
        raise FedFactoryError(f"{record.get('made', record['job'])}: its record has no argument {name}; make it again")
    text: str = arguments[arguments.index(name) + 1]
    return text


def arguments_of(record: Mapping[str, Any], name: str) -> list[str]:
    """All values of an argument of a job's command line that has any number of them."""
    arguments = record["arguments"]
    given = arguments[arguments.index(name) + 1 :] if name in arguments else []
    return list(takewhile(lambda text: not text.startswith("--"), given))


def without_seed(arguments: Sequence[str]) -> Iterator[str]:
    """Arguments without the seed of a training, and without what is told elsewhere: code and log."""
    skip = False
    for text in arguments:
        if skip:
            skip = False
        elif text.removeprefix("--") in (SEED, *_TOLD) and text.startswith("--"):
            skip = True
        else:
            yield text


def plain(text: str) -> str:
    """An argument without the run's name and without seeds; of phantoms the subjects differ by theirs."""
    if text[:1] == "{":
        return json.dumps(_no_seed(parse_json(text)), sort_keys=True)
    return _plain_path(text) if text.startswith("results/") else text


def _plain_path(name: str) -> str:
    return re.sub(r"/seed\d+(?=/|$)", "/seed", below_run(name))


def _no_seed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _no_seed(own) for key, own in value.items() if key != SEED}
    return [_no_seed(own) for own in value] if isinstance(value, list) else value
