import csv
import math
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from fedfactory.evaluation.figures import draw_grid, save
from fedfactory.evaluation.released_slices import Panel
from fedfactory.evaluation.render import RENDERERS, arrange, to_html, to_latex, to_markdown
from fedfactory.evaluation.subjects import Subject
from fedfactory.evaluation.table import Cell, Column, Row, summarise, write_long

COLUMNS = [
    Column("ms", "siemens", "MS", "Siemens", True),
    Column("ms", "canon", "MS", "Canon", False),
    Column("mm", "pet", "MM", "PET", True),
]
ROWS = [Row("nnunet", "nnU-Net", False), Row("tl", "+TL", False), Row("dg", "Fed_DG", True)]
BEST = {(column.setup, column.target, "dg") for column in COLUMNS}
LABELS = {"nnunet": "", "tl": "3 + 24–36", "dg": ""}
TABLE = {
    (column.setup, column.target, row.method): Cell(10.0 * i + j, 1.25, 5, 1, math.nan)
    for i, row in enumerate(ROWS)
    for j, column in enumerate(COLUMNS)
}


def subjects(**dice: float) -> dict[str, Subject]:
    return {name: Subject({"dice": value}, {}) for name, value in dice.items()}


def test_mean_and_sample_deviation_over_subjects():
    cell = summarise([subjects(a=80.0, b=50.0, c=65.0)])
    assert (cell.mean, cell.std, cell.n) == (65.0, pytest.approx(np.std([80, 50, 65], ddof=1)), 3)
    assert math.isnan(cell.seed_std)
    assert summarise([subjects(a=80.0)]).std == 0.0


def test_seeds_are_averaged_within_subjects():
    cell = summarise([subjects(a=80.0, b=50.0), subjects(a=60.0, b=50.0)])
    assert (cell.mean, cell.n, cell.seeds) == (60.0, 2, 2)
    assert cell.std == pytest.approx(np.std([70, 50], ddof=1))
    assert cell.seed_std == pytest.approx(np.std([65, 55], ddof=1))


def test_long_form(tmp_path):
    labels = {key: (3, 24) for key in TABLE}
    write_long(TABLE, COLUMNS, ROWS, labels, tmp_path / "t.csv")
    with (tmp_path / "t.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9
    assert rows[4] == {
        "setup": "ms",
        "target": "canon",
        "in_federation": "0",
        "method": "tl",
        "labels_train": "3",
        "labels_choose": "24",
        "centralised": "0",
        "dice_mean": "11.0000",
        "dice_std": "1.2500",
        "n": "5",
        "seeds": "1",
        "seed_std": "",
    }


def grid():
    return arrange(TABLE, COLUMNS, ROWS, "A <caption> & more.", LABELS, BEST)


def test_markdown():
    text = to_markdown(grid())
    assert "| MS<br>Siemens | MS<br>Canon* | MM<br>PET |" in text
    assert "| +TL | 3 + 24–36 | 10.0±1.2 | 11.0±1.2 | 12.0±1.2 |" in text
    assert "| Fed_DG† |  | **20.0±1.2** | **21.0±1.2** | **22.0±1.2** |" in text
    assert "\\* Only used for domain adaptation" in text


def test_latex_escapes_and_groups():
    text = to_latex(grid())
    assert r"\multicolumn{2}{c}{MS} & \multicolumn{1}{c}{MM}" in text
    assert r"Fed\_DG$^\dagger$ &  & $\mathbf{20.0\pm 1.2}$" in text
    assert r"A $<$caption$>$ \& more." in text


def test_labels_run_nothing_and_end_no_cell_in_any_format():
    rows = [replace(row, label=r"U^2-Net_{1} \input{x} | <b>~$&%#") for row in ROWS]
    table = arrange(TABLE, COLUMNS, rows, "", dict.fromkeys((row.method for row in rows), ""))
    text = to_latex(table)
    assert r"U\textasciicircum{}2-Net\_\{1\} \textbackslash{}input\{x\} $|$ $<$b$>$\textasciitilde{}\$\&\%\#" in text
    (line,) = [line for line in to_markdown(table).splitlines() if "U^2" in line][:1]
    assert line.count(" | ") == len(COLUMNS) + 1 and r"\|" in line and "<b>" not in line
    assert "<b>" not in to_html(table)


def test_html_is_well_formed_and_escaped():
    class Checker(HTMLParser):
        stack: list[str] = []

        def handle_starttag(self, tag, attrs):
            if tag not in {"meta", "link"}:
                self.stack.append(tag)

        def handle_endtag(self, tag):
            assert self.stack.pop() == tag

    text = to_html(grid())
    Checker().feed(text)
    assert Checker.stack == []
    assert "A &lt;caption&gt; &amp; more." in text
    assert text.count("<strong>") == 3
    assert "http" not in text


def test_every_form_marks_the_same_cells():
    assert {ending: render(grid()).count("20.0") for ending, render in RENDERERS.items()} == dict.fromkeys(RENDERERS, 1)


@pytest.mark.parametrize("kind", [".png", ".pdf"])
def test_figure_gives_the_same_bytes(tmp_path, kind):
    image = np.random.default_rng(0).random((20, 16))
    truth, prediction = np.zeros((2, 20, 16), np.uint8)
    truth[5:10, 5:10], prediction[6:12, 5:10] = 1, 2
    for name in ("a", "b"):
        figure = draw_grid([[Panel(image, truth, prediction, 1.5), None]], ["row"], [["one", "two"]])
        save(figure, tmp_path / name, kind)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_notes_of_methods_stand_below_behind_marks():
    first, second = "Sees labels of others.", "Translated images leave."
    rows = [
        Row("a", "A", False, note=first), Row("b", "B", True, note=second),
        Row("c", "C", False), Row("d", "D", False, note=first),
        Row("e", "E", False, note="Third."),
    ]  # fmt: skip
    cell = Cell(1.0, 0.0, 5, 1, math.nan)
    table = {(column.setup, column.target, row.method): cell for row in rows for column in COLUMNS}
    grid = arrange(table, COLUMNS, rows, "Caption.", dict.fromkeys("abcde", ""))
    assert [line.label for line in grid.lines] == ["A§", "B†¶", "C", "D§", "E§§"]
    assert grid.notes[-3:] == [f"§ {first}", f"¶ {second}", "§§ Third."]
    assert r"B$^\dagger$\P{}" in to_latex(grid)


def test_rows_of_a_section_stand_below_its_heading():
    rows = [*ROWS, Row("mean", "Mean mask", False, section="Bounds, low & high")]
    table = TABLE | {(c.setup, c.target, "mean"): Cell(99.0, 1.0, 5, 1, math.nan) for c in COLUMNS}
    grid = arrange(table, COLUMNS, rows, "caption", {**LABELS, "mean": "3"}, BEST)
    lines = to_markdown(grid).splitlines()
    assert lines[5] == "| *Bounds, low & high* |  |  |  |  |"
    assert lines[6].startswith("| Mean mask | 3 | 99.0±1.0 |")
    assert r"\midrule" + "\n" + r"\multicolumn{5}{l}{\emph{Bounds, low \& high}} \\" in to_latex(grid)
    assert '<tr class="section"><th colspan="5">Bounds, low &amp; high</th></tr>' in to_html(grid)


def test_cells_of_one_processor_are_marked():
    key = ("ms", "siemens", "nnunet")
    grid = arrange(TABLE, COLUMNS, ROWS, "caption", LABELS, native={key})
    assert "0.0±1.2°" in to_markdown(grid)
    assert grid.notes[-1].startswith("° Computed by the kernels of one processor")
    assert to_markdown(grid).count("°") == 2
    assert "°" not in to_markdown(arrange(TABLE, COLUMNS, ROWS, "caption", LABELS))
    assert r"$0.0\pm 1.2^{\circ}$" in to_latex(arrange(TABLE, COLUMNS, ROWS, "caption", LABELS, native={key}))


@pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="no pdflatex here: apt-get install texlive-latex-recommended"
)
def test_latex_compiles(tmp_path):
    rows = [
        *ROWS,
        Row("own", "Ours, 100 % & paired_#1", False, True, "A note, 5 % of all."),
        Row("fed", "FedMed-GAN", False, False, "Another note.", "A section"),
    ]
    table = TABLE | {(c.setup, c.target, m): Cell(50.0, 1.0, 5, 1, math.nan) for c in COLUMNS for m in ("own", "fed")}
    caption = "Dice in percent, mean ± deviation; run 'demo', M_t."
    labels = {row.method: "3 + 24–36" for row in rows}
    grid = arrange(table, COLUMNS, rows, caption, labels, {("mm", "pet", "own")}, {("mm", "pet", "fed")})
    (tmp_path / "table.tex").write_text(to_latex(grid))
    (tmp_path / "page.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs}\\usepackage{amssymb}"
        "\\begin{document}\\input{table}\\end{document}\n"
    )
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "page.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in done.stdout
    assert (tmp_path / "page.pdf").stat().st_size > 5000
