"""Files that tables, pictures and the page are made of, in the order of :mod:`fedfactory.evaluation.specification`.

For rules: jobs get these files on their command lines, and build no path.
"""

from collections.abc import Collection, Iterable, Mapping

from fedfactory.config.models import TABLE1
from fedfactory.config.run import Config
from fedfactory.evaluation.page.texts import CHARTS, FACTORY, FIGURES
from fedfactory.evaluation.specification import drawn, figure_targets, pictures, targets


def cell_files(config: Config, name: str, rows: Collection[str] | None = None) -> list[str]:
    """One file of every cell of Table 1, or of another table with rows by their names in paths."""
    return [config.layout.cell(*cell, name) for cell in config.cells(rows)]


def shown_files(config: Config, name: str, places: Collection[tuple[str, str]] | None = None) -> list[str]:
    """One file of every cell that is shown, those of the first seed: of all, or of some (setup, method)."""
    shown = [cell for cell in config.cells() if cell[3] == config.seeds[0]]
    return [config.layout.cell(*cell, name) for cell in shown if places is None or (cell[0], cell[2]) in places]


def gap_files(config: Config, name: str) -> list[str]:
    """One file of every cell of the gap table."""
    return [
        config.layout.cell(setup.name, client, config.gap_method, seed, name)
        for setup in config.setups.values()
        for client in (setup.source, *setup.targets)
        for seed in config.seeds
    ]


def files_of_target(config: Config, name: str, wildcards: Mapping[str, str]) -> list[str]:
    """One file of each shown cell of a target, method by method."""
    place = (wildcards["setup"], wildcards["client"])
    return [config.layout.cell(*place, method, config.seeds[0], name) for method in config.methods]


def previews(config: Config) -> list[str]:
    """Slices of every client, for the gallery."""
    return [
        config.layout.client(setup.name, client, "preview.npz")
        for setup in config.setups.values()
        for client in setup.clients
    ]


def figure2_panels(config: Config) -> list[str]:
    """Panels of Figure 2, row by row."""
    return _panels(config, figure_targets(config))


def cells_panels(config: Config) -> list[str]:
    """The same for all targets."""
    return _panels(config, targets(config))


def target_files(config: Config, name: str) -> list[str]:
    """One file of every target."""
    return [config.layout.client(*target, name) for target in targets(config)]


def picture_files(config: Config) -> list[str]:
    """Pictures of Table 1 that the run asks for."""
    return [config.layout.file(name) for name in pictures(config)]


def chart_files(config: Config) -> dict[str, str]:
    """Name -> file of each chart."""
    return {name: config.layout.file(f"charts/{name}.png") for name in CHARTS}


def page_pictures(config: Config) -> list[str]:
    """Pictures on the page, section by section."""
    figures = [config.layout.file(name) for name in pictures(config) if name in FIGURES]
    factories = [
        config.layout.factory(setup, config.seeds[0], f"{name}.png") for setup in config.setups for name in FACTORY
    ]
    return [*figures, *chart_files(config).values(), *(factories if config.factory else [])]


def page_slices(config: Config) -> list[str]:
    """Slices of every target, which the page loads where they are released."""
    return target_files(config, "slices.json") if config.slices else []


def page_scripts(config: Config) -> list[str]:
    """The same as the page loads them, in the same order."""
    return [config.layout.file(f"slices/{setup}/{target}.js") for setup, target in targets(config) if config.slices]


def page(config: Config) -> list[str]:
    """The page of the results, which belongs to Table 1."""
    return [config.layout.file("index.html")] if config.table == TABLE1 else []


def factory_files(config: Config) -> list[str]:
    """One picture of every setup's factory, and its table of privacy if asked for; other files come with them."""
    names = ["samples.png", *(["privacy.csv"] if config.privacy else [])] if config.factory else []
    places = [(setup, seed) for setup in config.setups for seed in config.seeds]
    return [config.layout.factory(*place, name) for place in places for name in names]


def _panels(config: Config, places: Iterable[tuple[str, str]]) -> list[str]:
    """The panel of each row that is drawn at each place, for the first seed."""
    return [
        config.layout.cell(*place, method, config.seeds[0], "panel.npz") for place in places for method in drawn(config)
    ]
