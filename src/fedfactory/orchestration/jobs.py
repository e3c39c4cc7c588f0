"""What the jobs of the workflow are told, worked out from the configuration.

Rules stay thin: they name files, and take everything else from here. Scripts get it as JSON on their command line, so
that a change of the configuration re-runs exactly the jobs whose parameters change.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from fedfactory.config.run import TABLE1, Config, Method, Setup
from fedfactory.errors import FedFactoryError
from fedfactory.evaluation.page.texts import CHARTS, FACTORY, FIGURES
from fedfactory.orchestration.portable import NATIVE, SETTINGS
from fedfactory.storage.weights_choice import TINY


def to_json(value: Any) -> str:
    """JSON for a script's command line."""
    return json.dumps(value)


def settings(config: Config) -> dict[str, str]:
    """Environment variables of every job: those under which bits do not depend on the processor."""
    return {} if config.device == NATIVE else SETTINGS


def any_of(names: Iterable[str]) -> str:
    """Regular expression for exactly these names; one that nothing matches if there are none."""
    return "|".join(sorted(names)) or "(?!)"


def phantom_options(config: Config) -> str:
    """Command-line options of the phantom sites; empty where raw data are files."""
    keys = ("seed", "subjects", "size", "slices")
    return " ".join(f"--{key} {config.data[key]}" for key in keys) if config.phantom else ""


def phantom_raw(config: Config, setup: str, client: str) -> list[str]:
    """The raw folder that the workflow makes; none for real releases, which are no product of the workflow."""
    return [config.layout.client(setup, client, "raw")] if config.phantom else []


def client_task(config: Config, setup: str, client: str) -> str:
    """What to prepare, as JSON for :class:`fedfactory.data.preprocessing.ClientTask`."""
    entry = config.setups[setup]
    is_source, scored = client == entry.source, entry.clients[client].scored
    return json.dumps(
        {
            "setup": setup,
            "client": client,
            "classes": entry.classes,
            "label_values": entry.clients[client].label_values,
            "orientation": entry.orientation,
            "split": dict(config.split),
            "few_shot": config.few_shot if client in entry.targets else 0,
            "needs_labels": is_source,
            "scored": scored,
            "seed": config.data["seed"],
            **config.preprocessing,
        }
    )


def adapter_options(config: Config, setup: str, client: str) -> str:
    """The options of a client's adapter as JSON."""
    return json.dumps(dict(config.setups[setup].clients[client].options))


def ruler_options(config: Config, setup: str, client: str) -> str:
    """Command-line options that say how surfaces are measured at a client."""
    planar = " --planar" if config.setups[setup].clients[client].planar else ""
    return f"--tolerance {config.nsd_tolerance(setup, client)}{planar}"


def gallery_spec(config: Config) -> list[dict[str, Any]]:
    """Rows of the gallery: a setup's clients with their previews."""
    return [
        {
            "label": setup.label,
            "clients": [
                {
                    "label": client.label + (" (source)" if client.name == setup.source else ""),
                    "preview": config.layout.client(setup.name, client.name, "preview.npz"),
                }
                for client in setup.clients.values()
            ],
        }
        for setup in config.setups.values()
    ]


def table1_spec(config: Config) -> str:
    """Specification of Table 1 as JSON."""
    return to_json(_table1(config))


def page_spec(config: Config) -> dict[str, Any]:
    """Specification of the page of the results: that of the table, and what is shown with it."""
    return {
        **_table1(config),
        "table": config.table,
        "about_data": f"{_seeds(config).capitalize()}. {_data(config)} G: uses the labelled slices of the target.",
        "slices": config.slices,
        "classes": {setup.name: setup.classes for setup in config.setups.values()},
        "galleries": _galleries(config),
    }


def page_files(config: Config) -> list[str]:
    """What the page shows or links to: cells, and pictures."""
    shown = [picture["file"] for section in _galleries(config) for picture in section["pictures"]]
    slices = [config.layout.client(*target, "slices.js") for target in _targets(config)] if config.slices else []
    return [*map(config.layout.file, shown), *slices]


def failures_spec(config: Config) -> dict[str, Any]:
    """Rows (label, file of panels) and methods of the gallery of failures."""
    return {
        "rows": [
            {
                "label": f"{config.setups[setup].label}: {config.setups[setup].clients[client].label}",
                "panels": config.layout.client(setup, client, "worst.npz"),
            }
            for setup, client in _targets(config)
        ],
        "methods": {method.name: method.label for method in config.methods.values()},
    }


def cells_of_target(config: Config, setup: str, client: str) -> dict[str, str]:
    """Method -> folder of a target's cell, for the first seed: the one that pictures show."""
    return {method: config.layout.cell(setup, client, method, config.seeds[0]) for method in config.methods}


def gap_spec(config: Config) -> str:
    """Specification of the gap table as JSON: the source-only method on the source itself, then on its targets."""
    caption = (
        "The gap between sites: Dice in percent of a network trained on the first client of each setup, the source, "
        f"and tested on every client; mean ± standard deviation over test subjects, {_seeds(config)}. {_data(config)}"
    )
    return to_json(_table_spec(config, [config.gap_method], lambda setup: (setup.source, *setup.targets), caption))


def gap_files(config: Config) -> list[str]:
    """Scores of the gap table."""
    return [
        config.layout.cell(setup.name, client, config.gap_method, seed, "scores.csv")
        for setup in config.setups.values()
        for client in (setup.source, *setup.targets)
        for seed in config.seeds
    ]


def figure2_spec(config: Config) -> dict[str, Any]:
    """Rows (label, panels) and columns of Figure 2; the first seed is shown."""
    return _panels_spec(config, lambda setup: (setup.figure_target,))


def cells_spec(config: Config) -> dict[str, Any]:
    """The same for all targets."""
    return _panels_spec(config, lambda setup: setup.targets)


def pictures(config: Config) -> list[str]:
    """Gallery, Figure 2 and its like for all targets, and the worst subjects, as far as slices are released."""
    if config.table != TABLE1:
        return []
    names = ["gallery.png", "figure2.png", "cells.png"] if config.pictures else []
    return [config.layout.file(name) for name in (*names, *(["failures.png"] if config.slices else []))]


def page(config: Config) -> list[str]:
    """The page of the results, which belongs to Table 1."""
    return [config.layout.file("index.html")] if config.table == TABLE1 else []


def cell_files(config: Config, name: str) -> list[str]:
    """One file of every cell of the table."""
    return [config.layout.cell(*cell, name) for cell in config.cells()]


def factory_files(config: Config) -> list[str]:
    """One picture of every setup's factory; its other files come with it."""
    if not config.factory:
        return []
    return [config.layout.factory(setup, seed, "samples.png") for setup in config.setups for seed in config.seeds]


def predictions(config: Config, setup: str, client: str, method: str, seed: str) -> str:
    """The predictions of a cell.

    Raises:
        FedFactoryError: the run has no such cell, although all its parts have names: a source has a cell of the gap
            table only, a site without labels none.
    """
    entry = config.setups[setup]
    if client not in entry.targets and (client, method) != (entry.source, config.gap_method):
        refuse_unknown_cell(config, config.layout.cell(setup, client, method, seed).removeprefix("results/"))
    return config.layout.cell(setup, client, method, seed, "predictions")


def known_cells(config: Config) -> str:
    """Regular expression for the cells that exist, as in ``results/<cell>/scores.csv``."""
    return any_of([file.removeprefix("results/").removesuffix("/scores.csv") for file in _all_scores(config)])


def refuse_unknown_cell(config: Config, cell: str) -> str:
    """Answer a misspelt cell.

    Raises:
        FedFactoryError: always; the message lists the cells of the run and the closest one.
    """
    known = _all_scores(config)
    asked = f"results/{cell}/scores.csv"
    close = get_close_matches(asked, known, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise FedFactoryError(
        f"{asked} is no cell of run '{config.run}' ({config.file}).{hint} Known cells:\n" + "\n".join(known)
    )


def _targets(config: Config) -> list[tuple[str, str]]:
    return [(setup.name, client) for setup in config.setups.values() for client in setup.targets]


def _table1(config: Config) -> dict[str, Any]:
    caption = (
        f"Dice in percent, mean ± standard deviation over test subjects, {_seeds(config)}. {_data(config)} "
        "G: methods that use the few labelled slices M_t of the target."
    )
    return _table_spec(config, list(config.methods), lambda setup: setup.targets, caption)


def _galleries(config: Config) -> list[dict[str, Any]]:
    """Sections of pictures on the page: id, title, and pictures (file below the run's folder, alt, caption)."""
    sections = [("charts", "Charts", [{"file": f"charts/{name}.png", **texts} for name, texts in CHARTS.items()])]
    shown = [Path(file).name for file in pictures(config)]
    if figures := [{"file": name, **texts} for name, texts in FIGURES.items() if name in shown]:
        sections.insert(0, ("figures", "Slices", figures))
    if config.factory:
        sections.append(
            (
                "factories",
                "Data factories",
                [
                    {
                        "file": f"{setup.name}/factory/seed{config.seeds[0]}/{name}.png",
                        "alt": f"{setup.label}: {alt}",
                        "caption": f"{setup.label}. {caption}",
                    }
                    for setup in config.setups.values()
                    for name, (alt, caption) in FACTORY.items()
                ],
            )
        )
    return [{"id": id_, "title": title, "pictures": pictures} for id_, title, pictures in sections]


def _panels_spec(config: Config, clients: Callable[[Setup], Iterable[str]]) -> dict[str, Any]:
    rows = [
        {
            "label": f"{setup.label}: {setup.clients[client].label}",
            "panels": [
                config.layout.cell(setup.name, client, method, config.seeds[0], "panel.npz")
                for method in config.methods
            ],
        }
        for setup in config.setups.values()
        for client in clients(setup)
    ]
    return {"rows": rows, "columns": [method.label for method in config.methods.values()]}


def _all_scores(config: Config) -> list[str]:
    """Scores of every cell, of the table and of the gap table, without repetition."""
    return list(dict.fromkeys([*cell_files(config, "scores.csv"), *gap_files(config)]))


def _table_spec(config: Config, methods: Sequence[str], clients: Any, caption: str) -> dict[str, Any]:
    return {
        "run": config.run,
        "seeds": config.seeds,
        "phantom": config.phantom,
        "reference": config.gap_method,
        "columns": [_column(setup, name) for setup in config.setups.values() for name in clients(setup)],
        "rows": [
            {
                "method": m.name,
                "label": m.label,
                "uses_mt": m.uses_mt,
                "centralised": m.centralised,
                "extension": m.extension,
                "note": " ".join(filter(None, (m.note, _weights_note(m)))),
            }
            for m in (config.methods[name] for name in methods)
        ],
        "caption": caption,
    }


def _weights_note(method: Method) -> str:
    """Which weights a foundation model has; empty for every other method."""
    match method.parameters.get("weights"):
        case str(name) if name == TINY:
            return f"Weights {TINY}: a small model, pre-trained by the workflow on procedural tasks."
        case str(name):
            return f"Weights {name}, whose digest stands in each cell's weights.json."
    return ""


def _column(setup: Setup, name: str) -> dict[str, Any]:
    client = setup.clients[name]
    return {
        "setup": setup.name,
        "target": name,
        "setup_label": setup.label,
        "label": client.label,
        "federated": client.federated,
    }


def _seeds(config: Config) -> str:
    return "one seed" if len(config.seeds) == 1 else f"{len(config.seeds)} seeds"


def _data(config: Config) -> str:
    return f"Phantom data, no patient; run '{config.run}'." if config.phantom else f"Run '{config.run}'."
