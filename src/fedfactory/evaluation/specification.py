"""What the jobs that make tables, pictures and the page are told: setups, targets, methods, seeds and labels, no path.

Files come to these jobs in the order in which a specification names what they are about: column by column, in it row by
row, in it seed by seed. :mod:`fedfactory.evaluation.inputs` lists them so.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from fedfactory.config.models import STRICT_TABLE, TABLE1
from fedfactory.config.run import Config, Method, Setup
from fedfactory.evaluation.page.texts import CHARTS, FACTORY, FIGURES
from fedfactory.orchestration.declared import methods as declarations

_G = "labelled slices of the target that train a method + that choose something of it (state, schedule, field of view)"

_STRICT = (
    "Strict protocol: nothing of the target but M_t and unlabelled images has a part in anything; every state is the "
    "one that a training names itself. "
)


def score(config: Config, wildcards: Mapping[str, str]) -> dict[str, Any]:
    """One cell: whose it is, and how surfaces are measured at its client."""
    setup, client = wildcards["setup"], wildcards["client"]
    entry = config.setups[setup]
    return {
        "cell": {"setup": setup, "target": client, "method": wildcards["method"], "seed": int(wildcards["seed"])},
        "orientation": entry.orientation,
        "tolerance": config.nsd_tolerance(setup, client),
        "planar": entry.clients[client].planar,
    }


def caption_of(table: str, seeds: int, data: str) -> str:
    """What stands below a table, of one run or of several.

    Args:
        table: ``table1`` or ``table1_strict``.
        seeds: number of training seeds.
        data: a sentence on the data.
    """
    drawn = "subjects and seeds" if seeds > 1 else "subjects; what another seed would change is not in it"
    return (
        f"{_STRICT if table == STRICT_TABLE else ''}Dice in percent, mean ± standard deviation over test subjects, "
        f"{_seeds(seeds)}. {data} G: {_G}. Bold: the rows of which one is the best of its column with a probability of "
        f"95 % (bootstrap over {drawn})."
    )


def table1(config: Config) -> dict[str, Any]:
    """Table 1: columns, rows, seeds and caption."""
    caption = caption_of(TABLE1, len(config.seeds), _data(config))
    if config.left_out:
        caption += f" Left out: {'; '.join(config.left_out.values())}."
    return _table(config, list(config.methods), lambda setup: setup.targets, caption)


def strict(config: Config, cells: Sequence[str]) -> dict[str, Any]:
    """The table of the strict protocol, from the names in paths of its rows."""
    rows = {config.method(cell).name for cell in cells}
    missing = [method.label for name, method in config.methods.items() if name not in rows]
    caption = caption_of(STRICT_TABLE, len(config.seeds), _data(config))
    if missing:
        caption += f" Without a form that follows it: {', '.join(missing)}."
    return _table(config, cells, lambda setup: setup.targets, caption)


def gap(config: Config) -> dict[str, Any]:
    """The gap table: the source-only method on the source itself, then on its targets."""
    caption = (
        "The gap between sites: Dice in percent of a network trained on the first client of each setup, the source, "
        f"and tested on every client; mean ± standard deviation over test subjects, {_seeds(len(config.seeds))}. "
        f"{_data(config)}"
    )
    return _table(config, [config.gap_method], lambda setup: (setup.source, *setup.targets), caption)


def charts(config: Config, chosen: Collection[tuple[str, str]]) -> dict[str, Any]:
    """The charts: Table 1, and (setup, method) of the cells among whose states validation volumes choose."""
    return {**table1(config), "chosen": sorted(chosen)}


def page(config: Config, cells: Sequence[str], cards: Sequence[Any]) -> dict[str, Any]:
    """The page of the results: Table 1, that of the strict protocol, and the texts of what is shown with them.

    Args:
        config: the run.
        cells: names in paths of the strict table's rows.
        cards: of the run's methods: title, and facts.
    """
    return {
        "cards": cards,
        **table1(config),
        "strict": strict(config, cells),
        "run": config.run,
        "table": config.table,
        "about_data": f"{_seeds(len(config.seeds)).capitalize()}. {_data(config)} G: {_G}.",
        "slices": config.slices,
        "classes": {setup.name: setup.classes for setup in config.setups.values()},
        "galleries": galleries(config),
    }


def galleries(config: Config) -> list[dict[str, Any]]:
    """Sections of pictures on the page: id, title, and the texts of each picture."""
    factory = [
        {"alt": f"{setup.label}: {alt}", "caption": f"{setup.label}. {caption}"}
        for setup in config.setups.values()
        for alt, caption in FACTORY.values()
    ]
    sections = [
        ("figures", "Slices", [FIGURES[name] for name in pictures(config) if name in FIGURES]),
        ("charts", "Charts", list(CHARTS.values())),
        ("factories", "Data factories", factory if config.factory else []),
    ]
    return [{"id": id_, "title": title, "pictures": shown} for id_, title, shown in sections if shown]


def pictures(config: Config) -> list[str]:
    """Gallery, Figure 2 and its like for all targets, and the worst subjects, as far as slices are released."""
    if config.table != TABLE1:
        return []
    names = ["gallery.png", "figure2.png", "cells.png"] if config.pictures else []
    return [*names, *(["failures.png"] if config.slices else [])]


def gallery(config: Config) -> list[dict[str, Any]]:
    """Rows of the gallery: a setup, and its clients."""
    return [
        {
            "label": setup.label,
            "clients": [
                client.label + (" (source)" if client.name == setup.source else "") for client in setup.clients.values()
            ],
        }
        for setup in config.setups.values()
    ]


def figure2(config: Config) -> dict[str, Any]:
    """Figure 2: a target of each setup by the methods of the table's first part."""
    return _grid(config, figure_targets(config), drawn(config))


def cells(config: Config) -> dict[str, Any]:
    """Figure 2 for all targets."""
    return _grid(config, targets(config), drawn(config))


def failures(config: Config) -> dict[str, Any]:
    """The gallery of failures: all targets by all methods, whose names their panels bear."""
    return {**_grid(config, targets(config), list(config.methods)), "methods": list(config.methods)}


def slices(config: Config, wildcards: Mapping[str, str]) -> dict[str, Any]:
    """The slices of a target: its name on the page, and the methods that are drawn."""
    return {
        "target": f"{wildcards['setup']}/{wildcards['client']}",
        "orientation": config.setups[wildcards["setup"]].orientation,
        "methods": list(config.methods),
    }


def targets(config: Config) -> list[tuple[str, str]]:
    """(setup, client) of each column of Table 1."""
    return [(setup.name, client) for setup in config.setups.values() for client in setup.targets]


def figure_targets(config: Config) -> list[tuple[str, str]]:
    """(setup, client) of each row of Figure 2."""
    return [(setup.name, setup.figure_target) for setup in config.setups.values()]


def drawn(config: Config) -> list[str]:
    """Rows of Figure 2 and its like: the table's first part; all of them where every part has a heading."""
    first = [name for name, method in config.methods.items() if not method.section]
    return first or list(config.methods)


def _grid(config: Config, places: Iterable[tuple[str, str]], methods: Iterable[str]) -> dict[str, Any]:
    return {
        "rows": [
            f"{config.setups[setup].label}: {config.setups[setup].clients[client].label}" for setup, client in places
        ],
        "columns": [config.methods[name].label for name in methods],
    }


def _table(
    config: Config, methods: Sequence[str], clients: Callable[[Setup], Iterable[str]], caption: str
) -> dict[str, Any]:
    return {
        "seeds": config.seeds,
        "phantom": config.phantom,
        "reference": config.gap_method,
        "scale": config.scale,
        "columns": [_column(setup, name) for setup in config.setups.values() for name in clients(setup)],
        "rows": [
            {
                "method": name,
                "label": m.label,
                "centralised": m.centralised,
                "extension": m.extension,
                "note": " ".join(filter(None, (m.note, _declared_note(m)))),
                "section": m.section,
                "bound": m.bound,
            }
            for name, m in ((name, config.method(name)) for name in methods)
        ],
        "caption": caption,
    }


def _declared_note(method: Method) -> str:
    """What the declaration of a row's method says to a reader of the table."""
    note = declarations()[method.rules].note
    return note(method.parameters) if note else ""


def _column(setup: Setup, name: str) -> dict[str, Any]:
    client = setup.clients[name]
    return {
        "setup": setup.name,
        "target": name,
        "setup_label": setup.label,
        "label": client.label,
        "federated": client.federated,
    }


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"{count} seeds"


def _data(config: Config) -> str:
    return f"Phantom data, no patient; run '{config.run}'." if config.phantom else f"Run '{config.run}'."
