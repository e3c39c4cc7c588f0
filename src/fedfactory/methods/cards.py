"""A card for each method: what a reader of its rows should know beside their figures, from its declaration.

``python -m fedfactory.methods.cards`` writes docs/cards.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from fedfactory.config.files import read_run
from fedfactory.config.run import Config, load_config
from fedfactory.methods.cells import Methods
from fedfactory.orchestration.declared import PACKAGE, Reads, rule
from fedfactory.storage.tables import read_rows, to_markdown

PAGE = "docs/cards.md"
_COSTS = "docs/benchmarks/row_cost.csv"
_RUN = "config/demo.yaml"
_HEAD = """# A card for each method

What a reader of a row should know beside its figures. Made by `python -m fedfactory.methods.cards` from the methods'
declarations (`src/fedfactory/methods/*/declaration.py`), for the rows of `config/demo.yaml`; what a cell costs is
measured ([row_cost](benchmarks/row_cost.md)). Each page of results holds the cards of its own rows. None of the
published code is used, but for the packages nnunetv2 and segment-anything; its licence is the one that its README
names.
"""


def cards(config: Config, every: Methods) -> list[tuple[str, list[tuple[str, str]]]]:
    """The card of each method that a run uses.

    Args:
        config: the run.
        every: its methods.

    Returns:
        Title, and the facts below it: name and text.
    """
    found = []
    for cells in every.cells.values():
        declared, card = cells.declared, cells.declared.card
        rows = [config.methods[row] for row in cells.entries]
        reads = dict.fromkeys(one.reads for one in declared.rules if one.reads is not Reads.OWN)
        sending = (*declared.rules, *map(rule, card.rests_on))
        sent = dict.fromkeys(one.lets_out for one in sending if one.lets_out)
        notes = dict.fromkeys(declared.note(row.parameters) for row in rows) if declared.note else ()
        facts = {
            "rows": "; ".join(row.label for row in rows),
            "papers": " ".join(card.papers),
            "published code": card.code,
            "private data that a job reads": "; ".join(one.value for one in reads) or Reads.OWN.value,
            "sends": "; ".join(sent) or "nothing",
            "labels of the target": "; ".join(f"{row.label}: {_labels(every, row.name)}" for row in rows),
            "normalisation": card.normalisation,
            "weights": " ".join(notes),
            "known failures": card.failures,
        }
        found.append((declared.title, [(what, text) for what, text in facts.items() if text]))
    return found


def _labels(every: Methods, row: str) -> str:
    return " or ".join(words or "none" for words in every.labels_in_words(row))


def page(project: Path) -> str:
    """docs/cards.md, as it should be."""
    files = [project / _RUN]
    config = load_config(read_run(files, project), files, project)
    measured = _costs(project / _COSTS)
    every = Methods(config, project)
    parts = [_HEAD]
    for (title, facts), cells in zip(cards(config, every), every.cells.values(), strict=True):
        costs = [f"{config.methods[row].label}: {measured[row]}" for row in cells.entries if row in measured]
        own = [*facts, *([("a cell of the demo", "; ".join(costs))] if costs else [])]
        parts.append(f"## {title}\n\n{to_markdown([{'what': what, 'of this method': text} for what, text in own])}")
    return "\n".join(parts)


def _costs(file: Path) -> Mapping[str, str]:
    """What a cell of each row costs, in words."""
    if not file.is_file():
        return {}
    return {row["row"]: _in_words(row) for row in read_rows(file)}


def _in_words(row: Mapping[str, str]) -> str:
    return f"{row['own CPU s']} s of its own, {row['exchanged MB']} MB exchanged"


def main() -> None:
    """Write docs/cards.md."""
    project = PACKAGE.parents[1]
    (project / PAGE).write_text(page(project))


if __name__ == "__main__":
    main()
