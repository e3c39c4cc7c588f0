"""Copy pictures and tables of a finished demo into the README: `make readme` after `make demo`."""

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results" / "demo"


def main() -> None:
    """Replace what stands between the markers, and the pictures."""
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    for name in ("table1", "gap"):
        table = (RESULTS / f"{name}.md").read_text(encoding="utf-8")
        between = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", re.S)
        text = between.sub(lambda match, table=table: table, text)
    readme.write_text(text, encoding="utf-8")
    pictures = {name: RESULTS / name for name in ("gallery.png", "figure2.png")}
    (ROOT / "docs" / "images").mkdir(exist_ok=True)
    for name, source in pictures.items():
        shutil.copyfile(source, ROOT / "docs" / "images" / name)


if __name__ == "__main__":
    main()
