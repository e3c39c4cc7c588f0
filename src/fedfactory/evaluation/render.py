"""Table 1 in the paper's arrangement: Markdown, LaTeX and HTML from one grid."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

from fedfactory.evaluation.analysis import best, bold
from fedfactory.evaluation.table import Column, Row, Table, summarise
from fedfactory.evaluation.table_cells import Key, Study

ASTERISK_NOTE = "* Only used for domain adaptation, not contributing to federated learning."
DAGGER_NOTE = "† Centralised: takes data or labels of several clients to one place."
NATIVE = "°"
"""Mark of a cell whose bytes depend on the processor or the GPU."""
NATIVE_NOTE = (
    f"{NATIVE} Computed by the kernels of one processor or GPU (device cpu-fast, auto or cuda): another one gives "
    "other bytes."
)
DOUBLE_DAGGER_NOTE = "‡ FedFactory's own extension, not a method of the paper."
_MARKS = "§¶"
"""Of the methods' own notes, in turn."""


@dataclass(frozen=True)
class Line:
    """A row as strings.

    Attributes:
        section: heading of the part of the table that it stands in; empty for the first.
        label: of the method, with its marks.
        counts: column G.
        cells: (text, whether it may be the best of its column).
    """

    section: str
    label: str
    counts: str
    cells: list[tuple[str, bool]]


@dataclass(frozen=True)
class Grid:
    """The table as strings.

    Attributes:
        groups: (setup heading, number of columns) from left to right.
        headings: one per target.
        lines: rows, those of a section together.
        notes: lines below the table.
    """

    groups: list[tuple[str, int]]
    headings: list[str]
    lines: list[Line]
    notes: list[str]


def arrange(
    table: Table,
    columns: Sequence[Column],
    rows: Sequence[Row],
    caption: str,
    labels: Mapping[str, str],
    leaders: Collection[Key] = (),
    native: Collection[Key] = (),
) -> Grid:
    """Arrange cells as in the paper: methods down, targets across, grouped by setup.

    Args:
        table: the cells.
        columns: targets.
        rows: methods.
        caption: first of the notes.
        labels: what column G says of each method.
        leaders: cells that may be the best of their column; they are bold.
        native: cells whose bytes depend on the processor or the GPU; they get a mark.
    """
    # Rows that have the same to say share a mark; after the last one they begin to double.
    own = list(dict.fromkeys(row.note for row in rows if row.note))
    marks_of = {note: _MARKS[n % len(_MARKS)] * (n // len(_MARKS) + 1) for n, note in enumerate(own)}
    lines = []
    for row in rows:
        keys = [(column.setup, column.target, row.method) for column in columns]
        cells = [(table[key].text + NATIVE * (key in native), key in leaders) for key in keys]
        marks = ("†" if row.centralised else "") + ("‡" if row.extension else "") + marks_of.get(row.note, "")
        lines.append(Line(row.section, row.label + marks, labels[row.method], cells))
    notes = [caption]
    if not all(column.federated for column in columns):
        notes.append(ASTERISK_NOTE)
    if any(row.centralised for row in rows):
        notes.append(DAGGER_NOTE)
    if any(row.extension for row in rows):
        notes.append(DOUBLE_DAGGER_NOTE)
    notes += [f"{mark} {note}" for note, mark in marks_of.items()]
    notes += [NATIVE_NOTE] if native else []
    return Grid(
        groups=[(label, len(list(group))) for label, group in groupby(columns, key=lambda column: column.setup_label)],
        headings=[column.label + ("" if column.federated else "*") for column in columns],
        lines=lines,
        notes=notes,
    )


def printed(study: Study, caption: str, native: Collection[Key] = ()) -> Grid:
    """A table of cells: means over subjects, and in bold what may be the best of its column.

    Args:
        study: the table.
        caption: first of the notes.
        native: as for :func:`arrange`.
    """
    table = {key: summarise(seeds) for key, seeds in study.cells.items()}
    counts = {method: study.label_counts(method) for method in study.methods}
    return arrange(table, study.columns, study.rows, caption, counts, bold(best(study)), native)


def to_markdown(grid: Grid) -> str:
    """GitHub Markdown; the setup stands before each target, since Markdown has no column groups."""
    setups = [label for label, count in grid.groups for _ in range(count)]
    header = ["", "G", *(f"{_md(setup)}<br>{_md(name)}" for setup, name in zip(setups, grid.headings, strict=True))]
    lines = [_pipe(header), _pipe(["---", ":-:", *["--:"] * len(setups)])]
    for section, rows in groupby(grid.lines, key=lambda line: line.section):
        if section:
            lines.append(_pipe([f"*{_md(section)}*", "", *[""] * len(setups)]))
        lines += [
            _pipe([_md(row.label), row.counts, *(f"**{t}**" if best else t for t, best in row.cells)]) for row in rows
        ]
    return "\n".join(lines) + "\n\n" + "\n".join(f"{_markdown_note(note)}  " for note in grid.notes) + "\n"


def to_latex(grid: Grid) -> str:
    """A ``tabular`` for the packages booktabs and amssymb."""
    setups = " & ".join(rf"\multicolumn{{{count}}}{{c}}{{{_tex(label)}}}" for label, count in grid.groups)
    lines = [
        "% needs \\usepackage{booktabs} and \\usepackage{amssymb}",
        rf"\begin{{tabular}}{{lc{'c' * len(grid.headings)}}}",
        r"\toprule",
        rf" & G & {setups} \\",
        " & & " + " & ".join(_tex(heading) for heading in grid.headings) + r" \\",
        r"\midrule",
    ]
    for section, rows in groupby(grid.lines, key=lambda line: line.section):
        if section:
            span = rf"\multicolumn{{{len(grid.headings) + 2}}}{{l}}{{\emph{{{_tex(section)}}}}} \\"
            lines += [r"\midrule", span]
        for row in rows:
            texts = [_tex_marks(text.replace("±", "\\pm ")) for text, _ in row.cells]
            marked = [
                rf"$\mathbf{{{text}}}$" if best else f"${text}$"
                for text, (_, best) in zip(texts, row.cells, strict=True)
            ]
            lines.append(" & ".join([_tex(row.label), row.counts.replace("–", "--"), *marked]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\footnotesize {_tex(note)}" for note in grid.notes]
    return "\n".join(lines) + "\n"


def to_html(grid: Grid) -> str:
    """A page of its own: no script, no style from elsewhere."""
    groups = "".join(f'<th colspan="{count}" scope="colgroup">{escape(label)}</th>' for label, count in grid.groups)
    headings = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in grid.headings)
    body = ""
    for section, rows in groupby(grid.lines, key=lambda line: line.section):
        if section:
            body += f'<tr class="section"><th colspan="{len(grid.headings) + 2}">{escape(section)}</th></tr>\n'
        for row in rows:
            marked = "".join(f"<td>{_html_cell(text, best)}</td>" for text, best in row.cells)
            body += f'<tr><th scope="row">{escape(row.label)}</th><td>{row.counts}</td>{marked}</tr>\n'
    notes = "".join(f"<p>{escape(note)}</p>\n" for note in grid.notes)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Table 1</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 2rem; overflow-x: auto; }}
table {{ border-collapse: collapse; border-block: 2px solid; }}
th, td {{ padding: .3rem .7rem; text-align: right; white-space: nowrap; font-weight: normal; }}
th[scope="row"] {{ text-align: left; }}
th[scope="colgroup"] {{ text-align: center; }}
thead tr:last-child th, tr.section th {{ border-bottom: 1px solid; }}
tr.section th {{ text-align: left; padding-top: .8rem; font-style: italic; }}
</style>
</head>
<body>
<table>
<thead>
<tr><td></td><td></td>{groups}</tr>
<tr><td></td><th scope="col">G</th>{headings}</tr>
</thead>
<tbody>
{body}</tbody>
</table>
{notes}</body>
</html>
"""


RENDERERS: dict[str, Callable[[Grid], str]] = {".md": to_markdown, ".tex": to_latex, ".html": to_html}
"""File ending -> renderer."""


def _pipe(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _md(text: str) -> str:
    """Text as Markdown shows it; nothing in it is the end of a cell, or an element of HTML."""
    return text.replace("|", r"\|").replace("<", "&lt;")


def _markdown_note(note: str) -> str:
    # A leading asterisk would start a list.
    return _md("\\" + note if note.startswith("*") else note)


def _html_cell(text: str, best: bool) -> str:
    return f"<strong>{escape(text)}</strong>" if best else escape(text)


def _tex_marks(text: str) -> str:
    """The mark behind a number as a superscript."""
    number = text.removesuffix(NATIVE)
    return number if number == text else rf"{number}^{{\circ}}"


_TEX = {
    **{plain: f"\\{plain}" for plain in "&%_#${}"},
    **{"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"},
    **{"|": "$|$", "<": "$<$", ">": "$>$"},
    **{"†": r"$^\dagger$", "‡": r"$^\ddagger$", "§": r"\S{}", "¶": r"\P{}", "±": r"$\pm$", NATIVE: r"$^\circ$"},
}


def _tex(text: str) -> str:
    """Text as LaTeX shows it; nothing in it is a command."""
    return "".join(_TEX.get(character, character) for character in text)
