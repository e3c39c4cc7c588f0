"""Copy pictures and tables of a finished demo into the README: `make readme` after `make demo`."""

import csv
import re
import shutil
from pathlib import Path

from fedfactory.factory.report import to_markdown

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results" / "demo"
SETUPS = ("ms", "mm", "mo")


def factories() -> str:
    """Figures of the three factories as one table."""
    rows = []
    for setup in SETUPS:
        with (RESULTS / setup / "factory/seed0/quality.csv").open(newline="") as file:
            rows += [{"setup": setup.upper(), **row} for row in csv.DictReader(file)]
    return to_markdown(rows)


def main() -> None:
    """Replace what stands between the markers, and the pictures."""
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    tables = {name: (RESULTS / f"{name}.md").read_text(encoding="utf-8") for name in ("table1", "gap")}
    for name, table in {**tables, "factory": factories()}.items():
        between = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", re.S)
        text = between.sub(lambda match, table=table: table, text)
    readme.write_text(text, encoding="utf-8")
    pictures = {name: RESULTS / name for name in ("gallery.png", "figure2.png")}
    for setup in SETUPS:
        for name in ("samples", "morphing"):
            pictures[f"factory_{setup}_{name}.png"] = RESULTS / setup / "factory/seed0" / f"{name}.png"
    pictures["synthetic_mm.png"] = RESULTS / "mm/pdw/ours/seed0/synthetic.png"
    pictures["adaptation_mm_ct.png"] = RESULTS / "mm/ct/ours_paired/seed0/adaptation.png"
    (ROOT / "docs" / "images").mkdir(exist_ok=True)
    for name, source in pictures.items():
        shutil.copyfile(source, ROOT / "docs" / "images" / name)


if __name__ == "__main__":
    main()
