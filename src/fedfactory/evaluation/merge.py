"""Several runs as one table: other training seeds, other phantoms, or rows that another group made.

Runs may be merged if every cell of a row was made by the same code with the same parameters, and if all rows of a
target were scored by the same code on the same test subjects. What a run says of itself is checked against the bytes
of its files (:mod:`fedfactory.provenance.verify`), and the story of every cell against the records of its parts. Cells
of all runs but the first are scored again; where a row is the first run's as well and the predictions were left out,
the caption says that they are believed.
"""

from __future__ import annotations

import csv
import json
import math
import statistics
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from fedfactory.config.models import STRICT_TABLE, TABLE1
from fedfactory.errors import FedFactoryError
from fedfactory.evaluation.finished_run import SEED, Run, identity, plain, without_seed
from fedfactory.evaluation.render import RENDERERS
from fedfactory.evaluation.specification import caption_of
from fedfactory.evaluation.subjects import Subject, over_seeds, seed_mean
from fedfactory.evaluation.table_cells import Key, Study
from fedfactory.evaluation.written import write_analysis, write_table
from fedfactory.provenance.record import file_digest
from fedfactory.provenance.story import below_run
from fedfactory.storage.files import new_file, new_folder
from fedfactory.storage.tables import write_rows

# Jobs that make a target's data.
_OF_DATA = ("prepare_client", "phantom_site")
# Between the number of a phantom and the name of a subject.
_MARK = ":"


def write_merged(folders: Sequence[Path], project: Path, out: Path) -> list[str]:
    """Write the tables of both protocols, their analyses, and where deviations come from, into a new folder.

    Args:
        folders: as for :func:`merge`.
        project: folder of the Snakefile, which holds the paper's table.
        out: the folder; written whole or not at all.

    Returns:
        What was written.

    Raises:
        FedFactoryError: as :func:`merge`, or the folder is there.
    """
    if out.exists():
        raise FedFactoryError(f"{out} is there; give a new folder, or remove it")
    for folder in folders:
        if out.resolve().is_relative_to(folder.resolve()):
            raise FedFactoryError(f"{out} lies in the run {folder}, which is to stay as it is; give another folder")
    with new_folder(out) as folder:
        for table in (TABLE1, STRICT_TABLE):
            spec, study, native = merge(folders, table, folder / table)
            endings = (".csv", *RENDERERS)
            write_table(study, spec["caption"], native, {ending: folder / f"{table}{ending}" for ending in endings})
            published, subjects = (
                project / "config" / name for name in ("table1_paper.csv", "table1_paper_subjects.csv")
            )
            write_analysis(study, spec, published, subjects, folder / f"{table}_analysis")
            write_rows(folder / f"{table}_deviations.csv", list(deviations(study)))
    return [f"{out}/{table}.md" for table in (TABLE1, STRICT_TABLE)]


def merge(folders: Sequence[Path], table: str, out: Path) -> tuple[dict[str, Any], Study, set[Key]]:
    """Merge runs into one table, whose scores are written as those of one run.

    Args:
        folders: of the runs; one that holds rows of its own adds them to those of the others.
        table: name of the table, ``table1`` or ``table1_strict``.
        out: folder of the merged scores; made where missing.

    Returns:
        The specification of the merged table; the table, with as many seeds as every cell has, and the subjects of all
        phantoms; and the cells whose bytes depend on the processor or the GPU.

    Raises:
        FedFactoryError: runs that do not belong together (which, and what differs), a file that is not what its job
            wrote, or scores of another group's row that its predictions do not have.
    """
    runs = [Run.read(folder, table) for folder in folders]
    first = runs[0]
    rows: dict[str, Mapping[str, Any]] = {}
    made: dict[Key, tuple[Run, dict[str, Any]]] = {}
    for run in runs:
        for part in ("columns", "phantom", "reference"):
            if run.spec[part] != first.spec[part]:
                raise FedFactoryError(f"{run.folder}: its table has other {part} than that of {first.folder}")
        for name, row in run.rows.items():
            if rows.setdefault(name, row) != row:
                raise FedFactoryError(f"{run.folder}: row '{name}' is described in another way than elsewhere")
        for (key, _), story in run.stories.items():
            _same(run, key, story, made)
    believed = _check_runs(runs)
    # Rows that join stand before bounds.
    spec = {**first.spec, "rows": sorted(rows.values(), key=lambda row: row["bound"])}
    files = []
    for column in spec["columns"]:
        for key, seeds in _by_seed(runs, column, rows).items():
            for number, parts in enumerate(seeds):
                files.append(_write_scores(key, number, parts, out))
    count = len(files) // (len(rows) * len(spec["columns"]))
    spec["seeds"] = list(range(count))
    study = Study.read(spec, files)
    places = ", ".join(folder.name for folder in folders)
    data = f"{'Phantom data, no patient; m' if spec['phantom'] else 'M'}erged from {len(runs)} runs ({places})."
    spec["caption"] = caption_of(table, count, data)
    if believed:
        told = ", ".join(f"{number} of {name}" for name, number in believed.items())
        spec["caption"] += f" Cells that were not scored again, as their predictions are not there: {told}."
    native = {key for run in runs for (key, _), story in run.stories.items() if not story["portable"]}
    return spec, study, native


def deviations(study: Study) -> Iterator[dict[str, Any]]:
    """Where each cell's deviation comes from: subjects of one phantom, training seeds, and phantoms, in points of Dice.

    Over subjects: root mean square over phantoms of the deviation of subjects' means over seeds. Over seeds: likewise
    of the means over subjects. Over phantoms: the deviation of their means; nan for one.
    """
    for key, seeds in study.cells.items():
        groups: dict[str, list[dict[str, Subject]]] = {}
        for number, seed in enumerate(seeds):
            for name, subject in seed.items():
                own = groups.setdefault(name.partition(_MARK)[0] if _MARK in name else "", [{} for _ in seeds])
                own[number][name] = subject
        of_subjects = [_deviation(list(over_seeds(own, "dice").values())) for own in groups.values()]
        of_seeds = [_deviation([seed_mean(seed, "dice") for seed in own]) for own in groups.values()]
        means = [statistics.fmean(seed_mean(seed, "dice") for seed in own) for own in groups.values()]
        yield {
            **dict(zip(("setup", "target", "method"), key, strict=True)),
            **{"phantoms": len(groups), "seeds": len(seeds), "subjects": len(seeds[0])},
            **{"over_subjects": _root_mean_square(of_subjects), "over_seeds": _root_mean_square(of_seeds)},
            "over_phantoms": _deviation(means),
        }


def _check_runs(runs: Sequence[Run]) -> Counter[str]:
    """Refuse a run that brings nothing, and score again what all but the first one bring.

    Returns:
        By run the cells of rows of the first one that cannot be scored again.
    """
    holders: dict[tuple[tuple[str, str], str], Run] = {}
    believed: Counter[str] = Counter()
    seen: set[tuple[Key, int, str]] = set()
    for run in runs:
        cells = {(key, seed, run.data(key, seed)) for key, seed in run.stories}
        if cells <= seen:
            raise FedFactoryError(f"{run.folder}: every cell is the same cell, seed and data as one of another run")
        seen |= cells
        for key, seed, data in sorted(cells):
            if run.has_truth(key):
                holders.setdefault((key[:2], data), run)
            if run is runs[0]:
                continue
            holder = holders.get((key[:2], data))
            if holder is not None and run.predictions(key, seed).is_dir():
                run.score_again(key, seed, holder)
            elif key[2] in runs[0].rows:
                believed[run.folder.name] += 1
            else:
                what = "its predictions" if holder is not None else f"the truth of {'/'.join(key[:2])} of any run"
                raise FedFactoryError(f"{run.scores(key, seed)}: cannot be scored again without {what}; add them")
    return believed


def _same(run: Run, key: Key, story: Mapping[str, Any], made: dict[Key, tuple[Run, dict[str, Any]]]) -> None:
    """Refuse a cell that other code or other parameters made than the same cell of another run.

    Of a target's rows, scoring and data have to be the same as well.
    """
    for place, what in ((key, identity(story)), ((*key[:2], ""), _of_target(key, story))):
        other, before = made.setdefault(place, (run, what))
        for job in sorted(before.keys() | what.keys()):
            if what.get(job) == before.get(job):
                continue
            name = f"{run.folder}: {'/'.join(filter(None, place))}: job '{job}'"
            if job not in what or job not in before:
                raise FedFactoryError(f"{name} is part of this cell in one run and not in the other, {other.folder}")
            (code, arguments), (as_before, others) = what[job], before[job]
            if code != as_before:
                raise FedFactoryError(
                    f"{name} ran other code ({code}) than in {other.folder} ({as_before}); make both at one commit"
                )
            differing = next(f"{a} and {b}" for a, b in zip_longest(arguments, others) if a != b)
            raise FedFactoryError(f"{name} had other parameters than in {other.folder}: {differing}")


def _of_target(key: Key, story: Mapping[str, Any]) -> dict[str, Any]:
    """What has to be the same for all rows of a target: how its data were made, and how cells are scored."""
    setup, target, _ = key
    found = {}
    for job in story["jobs"]:
        arguments = list(without_seed(job["arguments"]))
        if job["job"] == "score":
            measured = json.loads(arguments[arguments.index("--parameters") + 1])
            found["score"] = job["code"], [json.dumps({**measured, "cell": None}, sort_keys=True)]
        elif job["job"] in _OF_DATA and any(
            below_run(name).startswith(f"{setup}/{target}/") for name in job["outputs"]
        ):
            found[job["job"]] = job["code"], [plain(text) for text in arguments]
    return found


def _by_seed(
    runs: Sequence[Run], column: Mapping[str, Any], rows: Collection[str]
) -> dict[Key, list[list[tuple[str, Path]]]]:
    """Score files of a target's cells: for each seed those of every phantom, with how its subjects' names begin."""
    place = column["setup"], column["target"]
    found: dict[Key, dict[str, list[Path]]] = {(*place, row): {} for row in rows}
    seen: dict[tuple[Key, str], Path] = {}
    for run in runs:
        for row in run.rows:
            key = (*place, row)
            for seed in run.spec["seeds"]:
                data, scores = run.data(key, seed), run.scores(key, seed)
                twin = seen.setdefault((key, f"{data} {seed}"), scores)
                if twin == scores:
                    found[key].setdefault(data, []).append(scores)
                elif file_digest(twin) != file_digest(scores):
                    raise FedFactoryError(f"{scores} has other figures than {twin}, the same cell, seed and data")
    phantoms = list(dict.fromkeys(data for own in found.values() for data in own))
    if len(phantoms) > 1 and not runs[0].spec["phantom"]:
        raise FedFactoryError(f"{'/'.join(place)}: the runs were scored on other test data; merge runs of one release")
    count = len(next(iter(found[(*place, next(iter(rows)))].values())))
    for key, own in found.items():
        for data in phantoms:
            if len(own.get(data, [])) != count:
                raise FedFactoryError(
                    f"{'/'.join(key)} has {len(own.get(data, []))} seeds where other cells have {count}; add the runs "
                    "that lack, or leave the row out"
                )
    marks = [f"{number}{_MARK}" if len(phantoms) > 1 else "" for number in range(1, len(phantoms) + 1)]
    return {
        key: [
            [(mark, own[data][number]) for mark, data in zip(marks, phantoms, strict=True)] for number in range(count)
        ]
        for key, own in found.items()
    }


def _write_scores(key: Key, seed: int, parts: Sequence[tuple[str, Path]], out: Path) -> Path:
    """Write the merged scores of a cell: as they stand in the runs, but for seed and names of subjects and cases."""
    place = out.joinpath(*key, f"seed{seed}")
    place.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for mark, source in parts:
        with source.open(newline="") as stream:
            rows += [
                {**row, SEED: seed, **{name: mark + row[name] for name in ("subject", "case")}}
                for row in csv.DictReader(stream)
            ]
    with new_file(place / "scores.csv") as path:
        write_rows(path, rows)
    return place / "scores.csv"


def _deviation(values: Sequence[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else math.nan


def _root_mean_square(values: Sequence[float]) -> float:
    return math.sqrt(statistics.fmean(value**2 for value in values))
