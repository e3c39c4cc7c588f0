"""Copy pictures and tables of a finished demo, and of the benchmarks, into README and docs: `make readme`."""

import csv
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from fedfactory.rows import to_markdown

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results" / "demo"
SETUPS = ("ms", "mm", "mo")
MEASURED = ("three_seeds", "ablation", "ablation_parts", "agreement")
"""Tables of docs/benchmarks that docs/adaptation.md shows."""


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
    tables = {name: (RESULTS / f"{name}.md").read_text(encoding="utf-8") for name in ("table1", "gap")}
    fill(ROOT / "README.md", {**tables, "factory": factories()})
    measured = {name: (ROOT / f"docs/benchmarks/{name}.md").read_text(encoding="utf-8") for name in MEASURED}
    fill(ROOT / "docs/adaptation.md", measured)
    faults = (ROOT / "docs/benchmarks/faults.md").read_text(encoding="utf-8")
    fill(ROOT / "docs/reliability.md", {"faults": faults})
    trivial = (ROOT / "docs/benchmarks/trivial.md").read_text(encoding="utf-8")
    fill(ROOT / "docs/methods.md", {"trivial": trivial, "foundation": foundation()})
    pictures = {name: RESULTS / name for name in ("gallery.png", "figure2.png", "cells.png")}
    for setup in SETUPS:
        for name in ("samples", "morphing"):
            pictures[f"factory_{setup}_{name}.png"] = RESULTS / setup / "factory/seed0" / f"{name}.png"
    for target in ("ct", "pet"):
        pictures[f"translation_mm_{target}.png"] = RESULTS / "mm" / target / "fedmedgan/seed0/translation.png"
    pictures["synthetic_mm.png"] = RESULTS / "mm/pdw/ours/seed0/synthetic.png"
    pictures["adaptation_mm_ct.png"] = RESULTS / "mm/ct/ours_paired/seed0/adaptation.png"
    (ROOT / "docs" / "images").mkdir(exist_ok=True)
    for name, source in pictures.items():
        shutil.copyfile(source, ROOT / "docs" / "images" / name)


if __name__ == "__main__":
    main()
