"""What the page shows, from the files of a run; every text that comes from a file is escaped by the template."""

import base64
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fedfactory.evaluation.render import Grid
from fedfactory.evaluation.subjects import METRICS, REACH, over_seeds
from fedfactory.evaluation.table_cells import Key, Study
from fedfactory.provenance.story import NOT_MEASURED, below_run
from fedfactory.storage.tables import read_rows

_LOWER = ("hd95_mm", "volume_error")
_DIGEST = 12


def page_data(
    study: Study,
    grid: Grid,
    analysis: Path,
    stories: Mapping[Key, Mapping[str, Any]],
    paper: Mapping[Key, tuple[float, float]],
    spec: Mapping[str, Any],
    folders: Mapping[Key, Path],
    root: Path,
) -> dict[str, Any]:
    """Table, cells and methods as plain data, for the script and for the template.

    Args:
        study: the table.
        grid: the same as printed, for marks and notes.
        analysis: folder made by the rule ``analysis``.
        stories: ``cell.json`` of each cell's first seed.
        paper: the paper's table.
        spec: of the table, with ``slices`` and ``classes`` (setup -> class names).
        folders: each cell's folder.
        root: folder of the page, from which links go out.
    """
    metrics = {(row["setup"], row["target"], row["method"]): row for row in read_rows(analysis / "metrics.csv")}
    classes = _classes(read_rows(analysis / "classes.csv"))
    best = {
        (row["setup"], row["target"], row["method"]): {
            "p_best": float(row["p_best"]),
            "may_be_best": row["may_be_best"] == "1",
        }
        for row in read_rows(analysis / "best.csv")
    }
    tests = _tests(study, read_rows(analysis / "comparisons.csv"))
    marks = {row.method: line.label.removeprefix(row.label) for row, line in zip(study.rows, grid.lines, strict=True)}
    cells = {}
    for column in study.columns:
        for row in study.rows:
            key = (column.setup, column.target, row.method)
            cells["/".join(key)] = {
                **{"target": f"{column.setup}/{column.target}", "method": row.method},
                **_figures(study, key, metrics[key]),
                **{
                    "paper": paper.get(key),
                    "tests": tests.get(key, []),
                    **best.get(key, {"p_best": None, "may_be_best": False}),
                },
                **{"classes": classes[key], "labels": study.labels[key]},
                **_story(stories[key], folders[key], root),
            }
    return {
        "phantom": spec["phantom"],
        "slices": spec["slices"],
        "metrics": {
            name: {
                "label": label,
                "higher": name not in _LOWER,
                "caption": f"{label}, mean over test subjects, {'higher' if name not in _LOWER else 'lower'} is better;"
                " below it the 95 % bootstrap interval over subjects, which is too narrow for few of them and does not"
                " cover other training seeds. Bold: "
                + ("may be the best of its column (95 %)." if name == "dice" else "best of its column."),
            }
            for name, label in METRICS.items()
        },
        "columns_of_classes": {**METRICS, **REACH},
        "targets": [
            {
                **{"key": f"{c.setup}/{c.target}", "setup_label": c.setup_label, "label": c.label},
                "federated": c.federated,
            }
            for c in study.columns
        ],
        "methods": [
            {
                **{"name": row.method, "label": row.label, "labels": study.label_counts(row.method), "note": row.note},
                **{"marks": marks[row.method], "section": row.section, "bound": row.bound},
            }
            for row in study.rows
        ],
        "classes": {f"{c.setup}/{c.target}": spec["classes"][c.setup] for c in study.columns},
        "cells": cells,
    }


def render(data: Mapping[str, Any], **values: Any) -> str:
    """Fill the template."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    here = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(here), autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True
    )
    # Within a script element only the end of the element has to be hidden.
    embedded = Markup(json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c"))
    style, script = (Markup((here / name).read_text(encoding="utf-8")) for name in ("page.css", "page.js"))
    return environment.get_template("page.html.j2").render(
        **{key: data[key] for key in ("metrics", "columns_of_classes", "targets", "methods", "cells", "phantom")},
        data=embedded,
        style=style,
        script=script,
        policy=_policy(script),
        **values,
    )


def _policy(script: str) -> str:
    """What the page may load and run: its own script, and what lies beside it; nothing of a network, nothing inline."""
    own = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    beside = "'self' file:"
    return (
        f"default-src 'none'; script-src 'sha256-{own}' {beside}; style-src 'unsafe-inline'; "
        f"img-src data: {beside}; base-uri 'none'; form-action 'none'"
    )


def cost_table(study: Study, costs: Mapping[Key, Mapping[str, Any]]) -> list[list[str]]:
    """A row for each method, means over the targets: times, largest job, bytes, energy."""
    rows = []
    for row in study.rows:
        own = [costs[c.setup, c.target, row.method]["own"] for c in study.columns]
        shared = [costs[c.setup, c.target, row.method]["with_shared"] for c in study.columns]
        rows.append(
            [
                row.label,
                f"{_mean(own, 'seconds'):.0f}",
                f"{_mean(shared, 'seconds'):.0f}",
                f"{_mean(shared, 'cpu_seconds'):.0f}",
                f"{_mean(shared, 'gpu_seconds'):.0f}",
                f"{max(cost['peak_memory_mb'] for cost in shared):.0f}",
                f"{_mean(shared, 'bytes_exchanged') / 1e6:.1f}",
                *(_energy([cost["energy_joules"][kind] for cost in shared]) for kind in ("processor", "gpu")),
            ]
        )
    return rows


def _figures(study: Study, key: Key, row: Mapping[str, str]) -> dict[str, Any]:
    by_metric = {metric: over_seeds(study.cells[key], metric) for metric in METRICS}
    return {
        "metrics": {
            metric: {part: _value(row[f"{metric}_{part}"]) for part in ("mean", "low", "high")} for metric in METRICS
        },
        "missed": int(row["miss"]),
        "present": int(row["found"]) + int(row["miss"]),
        "false_alarms": int(row["false_alarm"]),
        "subjects": {
            name: {metric: _known(values[name]) for metric, values in by_metric.items()} for name in by_metric["dice"]
        },
    }


def _story(story: Mapping[str, Any], folder: Path, root: Path) -> dict[str, Any]:
    own, shared = story["cost"]["own"], story["cost"]["with_shared"]
    link = folder.relative_to(root).as_posix()
    return {
        "command": story["command"],
        "story": [
            ["commit", ", ".join(commit or "outside a git checkout" for commit in story["commits"])],
            ["configuration", story["configuration"][:_DIGEST]],
            ["own jobs", f"{own['jobs']}, {own['cpu_seconds']:.0f} s of CPU"],
            ["with shared jobs", f"{shared['jobs']}, {shared['cpu_seconds']:.0f} s of CPU"],
            ["exchanged", f"{shared['bytes_exchanged'] / 1e6:.1f} MB across borders of sites"],
            ["machine", "; ".join(f"{m['processor']}, {m['cores']} cores" for m in story["machines"])],
        ],
        "jobs": [
            {
                "job": job["job"],
                "made": ", ".join(map(below_run, job["outputs"])),
                "seconds": job["seconds"],
                "memory": job["peak_memory_mb"],
                "device": job["device"]["name"],
                "code": job["code"] or "not recorded",
            }
            for job in story["jobs"]
        ],
        "links": [
            ["cell.json: the whole story, with digests", f"{link}/cell.json"],
            ["scores.csv: every case and class", f"{link}/scores.csv"],
        ],
    }


def _tests(study: Study, rows: Sequence[Mapping[str, str]]) -> dict[Key, list[str]]:
    """What each cell's comparison with the best of its column says."""
    labels = {row.method: row.label for row in study.rows}
    found: dict[Key, list[str]] = {}
    for row in rows:
        setup, _, target = row["scope"].partition("/")
        if target:
            verdict = "significant" if int(row["significant"]) else "not significant"
            found.setdefault((setup, target, row["second"]), []).append(
                f"{labels[row['first']]}, the best here, is {float(row['difference']):.1f} points better: {verdict} "
                f"(p = {float(row['p_holm']):.2g} after correction, {row['n']} subjects)"
            )
    return found


def _classes(rows: Sequence[Mapping[str, str]]) -> dict[Key, list[dict[str, Any]]]:
    """Each cell's figures by class."""
    found: dict[Key, list[dict[str, Any]]] = {}
    for row in rows:
        shown = {name: float(row[name]) if row[name] else None for name in (*METRICS, *REACH)}
        found.setdefault((row["setup"], row["target"], row["method"]), []).append({"class": row["class"], **shown})
    return found


def _energy(joules: Sequence[float | None]) -> str:
    known = [value for value in joules if value is not None]
    return f"{sum(known) / len(known) / 1000:.1f}" if len(known) == len(joules) else NOT_MEASURED


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _value(text: str) -> float | None:
    return float(text) if text else None


def _mean(costs: Sequence[Mapping[str, Any]], key: str) -> float:
    return sum(cost[key] for cost in costs) / len(costs)
