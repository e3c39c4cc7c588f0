"""Copy pictures and tables of a finished demo, and of the benchmarks, into README and docs: `make readme`."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from textwrap import fill as wrapped

from PIL import Image

from benchmarks.project_copy import copy_project
from fedfactory.config.files import read_run
from fedfactory.config.run import Config, load_config, read_yaml
from fedfactory.storage.tables import read_rows, to_markdown

ROOT = Path(__file__).resolve().parent.parent
CONFIG, BASE = ROOT / "config/demo.yaml", ROOT / "config/base.yaml"
RESULTS = ROOT / "results" / "demo"
_WIDTH, _README_WIDTH = 130, 120
_PICTURE_WIDTH, _COLOURS = 1300, 200
SETUPS = ("ms", "mm", "mo")
MEASURED = {
    "docs/results.md": ("table1_three_seeds",),
    "docs/adaptation.md": ("three_seeds", "ablation", "ablation_parts", "agreement"),
    "docs/data.md": ("smaller", "fuzz"),
    "docs/reliability.md": ("faults",),
    "docs/statistics.md": ("coverage", "test_size"),
    "docs/methods.md": ("bounds", "beyond", "beyond_bounds"),
    "docs/hospitals.md": ("attacks",),
    "docs/real.md": ("real_table1", "real_strict", "real_seeds", "real_controls"),
}
"""Tables of docs/benchmarks, by the page that shows them."""


def factories() -> str:
    """Figures of the three factories as one table."""
    rows = []
    for setup in SETUPS:
        with (RESULTS / setup / "factory/seed0/quality.csv").open(newline="") as file:
            rows += [{"setup": setup.upper(), **row} for row in csv.DictReader(file)]
    return to_markdown(rows)


def foundation() -> str:
    """What the pre-training of the small foundation models is worth, from their cards."""
    rows = []
    for card in sorted((RESULTS / "foundation").glob("*/card.json")):
        for way, dice in json.loads(card.read_text())["held_out_dice"].items():
            figures = {moment: f"{value:.2f}" for moment, value in dice.items()}
            rows.append({"model": card.parent.name, "way": way.replace("_", " "), **figures})
    return to_markdown(rows)


Cells = Mapping[tuple[str, str, str], float]


def dice(table: str) -> Cells:
    """Mean Dice of each cell of a table, in percent, by (setup, target, row)."""
    with (RESULTS / f"{table}.csv").open(newline="") as file:
        return {(row["setup"], row["target"], row["method"]): float(row["dice_mean"]) for row in csv.DictReader(file)}


def of_setup(cells: Cells, setup: str, name: str) -> float:
    """A row's mean over the targets of a setup."""
    return mean(value for (own, _, row), value in cells.items() if (own, row) == (setup, name))


def columns_of(cells: Cells, config: Config) -> list[dict[str, float]]:
    """Dice of the rows that may be best, column by column."""
    columns: dict[tuple[str, str], dict[str, float]] = {}
    for (setup, target, name), value in cells.items():
        if not config.method(name).bound:
            columns.setdefault((setup, target), {})[name] = value
    return list(columns.values())


def near_best(columns: Sequence[Mapping[str, float]], name: str, points: float) -> int:
    """In how many columns a row is so near to the best, in points of Dice."""
    return sum(own[name] >= max(own.values()) - points for own in columns)


def standing() -> str:
    """How the extension stands in the table of the strict protocol."""
    config, cells = load_config(read_yaml(CONFIG, CONFIG.name), [CONFIG], ROOT), dice("table1_strict")
    columns, own, rival = columns_of(cells, config), "ours_paired_strict", "nnunet_tl_strict"
    figures = (
        ", ".join(f"{setup.upper()} {of_setup(cells, setup, name):.1f}" for setup in SETUPS) for name in (own, rival)
    )
    labels = (config.method(name).label for name in (own, rival))
    means = "; ".join(f"{label} {text}" for label, text in zip(labels, figures, strict=True))
    said = (
        f"Under these rules our extension is best in {near_best(columns, own, 0)} of {len(columns)} columns, and "
        f"within a point of the best in {near_best(columns, own, 1)}. Means over a setup's targets: {means}."
    )
    return f"{wrapped(said, _README_WIDTH)}\n"


def measured(name: str) -> dict[str, dict[str, str]]:
    """A table of docs/benchmarks by its rows' names."""
    return {row["row"]: row for row in read_rows(ROOT / f"docs/benchmarks/{name}.csv")}


def real_standing() -> str:
    """How the extension stands on real images, in the strict protocol."""
    files = [ROOT / "config/real.yaml"]
    config = load_config(read_run(files, ROOT), files, ROOT)
    rows = measured("real_seeds")
    means = "; ".join(
        f"{config.method(name).label} {rows[name]['mean rv']} and {rows[name]['mean nuc']}"
        for name in ("ours_paired_strict", "ours_strict", "nnunet_tl_strict", "only_mt")
    )
    own, columns = rows["ours_paired_strict"], len(config.setups["rv"].targets) + len(config.setups["nuc"].targets)
    said = (
        f"Of the {columns} columns our extension is the best of these rows in {own['best']}, and within a point of the "
        f"best in {own['within a point']}. Means over the targets of RV and of NUC, with their deviation over training "
        f"seeds: {means}."
    )
    return f"{wrapped(said, _README_WIDTH)}\n"


def real_parts() -> str:
    """What the parts of the extension are worth on real images, by its controls."""
    rows = measured("real_controls")

    def beside(control: str, column: str) -> str:
        return f"{rows['ours_paired_strict'][column]} and {rows[f'{control}_strict'][column]}"

    whole, bright = "mean nuc", "nuc/bright"
    said = [
        f"An untrained factory, the extension first: {beside('paired_untrained', 'mean rv')} on RV, "
        f"{beside('paired_untrained', whole)} on NUC, of that {beside('paired_untrained', bright)} on Bright and "
        f"{beside('paired_untrained', 'nuc/he')} on HE.",
        f"No pairs, the same way: {beside('paired_no_pairs', whole)} on NUC, of that "
        f"{beside('paired_no_pairs', bright)} on Bright.",
        f"No slice left out: {beside('paired_taught', 'rv/chase')} on CHASEDB1, "
        f"{beside('paired_taught', 'nuc/fluo2')} on Fluo 2.",
    ]
    return "\n".join(wrapped(f"- {one}", _README_WIDTH, subsequent_indent="  ") for one in said) + "\n"


def real_in_short() -> str:
    """What holds on real images, for the README."""
    rows = measured("real_seeds")
    untrained = measured("real_controls")["paired_untrained_strict"]
    own, rival = rows["ours_paired_strict"], rows["nnunet_tl_strict"]
    said = (
        "On real images, retinal vessels and nuclei over three training seeds, the extension has, under the same "
        f"rules, {own['mean rv']} and {own['mean nuc']}, and +TL {rival['mean rv']} and {rival['mean nuc']}. With a "
        f"factory that never trained it has {untrained['mean rv']} and {untrained['mean nuc']}: on vessels the trained "
        "one is not shown to be worth its bytes ([docs/real.md](docs/real.md))."
    )
    return f"{wrapped(said, _README_WIDTH, break_on_hyphens=False)}\n"


def beyond_standing() -> str:
    """How the rows beyond the paper stand beside the extension, in the strict protocol."""
    config = load_config(read_run([CONFIG], ROOT), [CONFIG], ROOT)
    rows, papers = measured("beyond"), read_yaml(BASE, BASE.name)["methods"]
    own, others, means = rows["ours_paired_strict"], [row for row in rows if row in config.methods.keys() - papers], []
    for setup in SETUPS:
        mean_of = f"mean {setup}"
        best = max(others, key=lambda row: float(rows[row][mean_of]))
        label = config.method(best).label
        means.append(f"{setup.upper()} {label} {rows[best][mean_of]}, the extension {own[mean_of]}")
    said = (
        f"Among all rows of this table the extension is best in {own['best']} of 9 columns, and within a point of the "
        f"best in {own['within a point']}. The best of the rows beyond the paper, by the mean of each setup: "
        f"{'; '.join(means)}."
    )
    return f"{wrapped(said, _WIDTH)}\n"


def one_seed(table: str) -> str:
    """How often each row of a table is best, its mean over the targets of each setup, and what the analysis says."""
    config = load_config(read_yaml(CONFIG, CONFIG.name), [CONFIG], ROOT)
    cells = dice(table)
    columns = columns_of(cells, config)
    contenders = columns[0]
    rows = [
        {
            "": config.method(name).label,
            **{setup.upper(): f"{of_setup(cells, setup, name):.1f}" for setup in SETUPS},
            "best in": f"{near_best(columns, name, 0)} of {len(columns)}" if name in contenders else "",
            "within a point in": f"{near_best(columns, name, 1)}" if name in contenders else "",
        }
        for name in dict.fromkeys(method for *_, method in cells)
    ]
    conclusions = json.loads((RESULTS / f"{table}_analysis/conclusions.json").read_text())
    sentences = [wrapped(f"- {said}", _WIDTH, subsequent_indent="  ", break_on_hyphens=False) for said in conclusions]
    return "\n".join([to_markdown(rows), *sentences, ""])


def cost(name: str, what: str) -> str:
    """What a run takes, as `benchmarks.run_cost` measured it and wrote it under a name."""
    measured = ROOT / "docs/benchmarks" / name
    with measured.with_suffix(".csv").open(newline="") as file:
        whole = next(row for row in csv.DictReader(file) if row["rule"] == "all")
    said = re.search(
        r"^(.+)\. (\d+) s from the first start.* (\d+) cores", measured.with_suffix(".md").read_text(), re.M
    )
    assert said, "benchmarks.run_cost writes the line"
    machine, seconds, cores = said.groups()
    return (
        f"- {what}: {int(seconds) / 60:.0f} minutes on {cores} cores of an {machine}; its {whole['jobs']} jobs take "
        f"{float(whole['CPU s']) / 60:.0f} CPU minutes.\n"
        f"  No job needs more than {float(whole['peak MB']) / 1000:.1f} GB of memory.\n"
    )


def walk() -> dict[str, str]:
    """What the commands of docs/walkthrough.md print, as blocks of text; the story of a cell is cut."""
    run = str(RESULTS.relative_to(ROOT))
    new = "new-run mine --site mr=results/demo/mm/pdw/raw --site ct=results/demo/mm/ct/raw --source mr"
    commands = {
        "explain": (f"explain {run}/mo/octa/ours/seed0/scores.csv", 40),
        "verify": (f"verify {run}", 20),
        "new-run": (new, 20),
        "check-data": ("check-data mine --configfile config/mine.yaml", 20),
    }
    blocks = {}
    with TemporaryDirectory() as temporary:
        # One of the commands writes into the project.
        project = Path(temporary) / "project"
        copy_project(project)
        (project / "results").symlink_to(ROOT / "results")
        for name, (command, lines) in commands.items():
            done = subprocess.run(
                [sys.executable, "-m", "fedfactory.cli", *command.split()],
                cwd=project,
                env=os.environ | {"PYTHONPATH": str(project / "src")},
                capture_output=True,
                text=True,
                check=True,
            )
            printed = done.stdout.splitlines()
            cut = [*printed[: lines // 2], "…", *printed[-lines // 2 :]] if len(printed) > lines else printed
            shown = "\n".join(line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…" for line in cut)
            blocks[f"output: {name}"] = f"```text\n{shown}\n```\n"
    return blocks


def photograph(page: Path, cell: str, out: Path) -> None:
    """A picture of the page with a cell open, by Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1280, "height": 960})
        opened.goto(f"{page.as_uri()}#{cell}")
        opened.locator("#slice").wait_for(state="visible")
        opened.screenshot(path=out)
        browser.close()


def fill(file: Path, tables: Mapping[str, str]) -> None:
    """Replace what stands between a file's markers.

    Raises:
        ValueError: a table without a place.
    """
    text = file.read_text(encoding="utf-8")
    for name, table in tables.items():
        text, count = re.subn(
            rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", lambda match, table=table: table, text, flags=re.S
        )
        if count != 1:
            raise ValueError(f"{file} has {count} places for the table '{name}'")
    file.write_text(text, encoding="utf-8")


def main() -> None:
    """Fill the tables and copy the pictures."""
    for file, names in MEASURED.items():
        fill(ROOT / file, {name: (ROOT / f"docs/benchmarks/{name}.md").read_text(encoding="utf-8") for name in names})
    tables = {"one_seed": one_seed("table1"), "one_seed_strict": one_seed("table1_strict")}
    fill(ROOT / "docs/results.md", tables)
    fill(
        ROOT / "docs/real.md",
        {
            "real_standing": real_standing(),
            "real_cost": cost("real_cost", "One training seed"),
            "real_parts": real_parts(),
        },
    )
    fill(ROOT / "README.md", {"cost": cost("run_cost", "Demo"), "standing": standing(), "real": real_in_short()})
    for file, name in (("README.md", "table1"), ("README.md", "table1_strict"), ("docs/results.md", "gap")):
        fill(ROOT / file, {name: (RESULTS / f"{name}.md").read_text(encoding="utf-8")})
    fill(ROOT / "docs/factory.md", {"factory": factories()})
    fill(ROOT / "docs/methods.md", {"foundation": foundation(), "beyond_standing": beyond_standing()})
    pictures = {name: RESULTS / name for name in ("gallery.png", "figure2.png", "cells.png")}
    for setup in SETUPS:
        for name in ("samples", "morphing"):
            pictures[f"factory_{setup}_{name}.png"] = RESULTS / setup / "factory/seed0" / f"{name}.png"
    for target in ("ct", "pet"):
        pictures[f"translation_mm_{target}.png"] = RESULTS / "mm" / target / "fedmedgan/seed0/translation.png"
    pictures["synthetic_mm.png"] = RESULTS / "mm/pdw/ours/seed0/synthetic.png"
    pictures["adaptation_mm_ct.png"] = RESULTS / "mm/ct/ours_paired/seed0/adaptation.png"
    fill(ROOT / "docs/walkthrough.md", walk())
    (ROOT / "docs" / "images").mkdir(exist_ok=True)
    photograph(RESULTS / "index.html", "mm/ct/ours", ROOT / "docs/images/page_cell.png")
    for name, source in pictures.items():
        write_smaller(source, ROOT / "docs" / "images" / name)


def write_smaller(source: Path, out: Path) -> None:
    """A picture as wide as a page of docs shows it, with few colours: whoever clones the project loads all of them."""
    with Image.open(source) as whole:
        picture = whole.convert("RGB")
    picture.thumbnail((_PICTURE_WIDTH, picture.height), Image.Resampling.LANCZOS)
    picture.quantize(_COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
        out, "PNG", optimize=True
    )
    if out.stat().st_size > source.stat().st_size:
        shutil.copyfile(source, out)


if __name__ == "__main__":
    main()
