"""What wildcards may stand for, and what a rule gets for them."""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from fedfactory.config.run import Config
from fedfactory.errors import FedFactoryError
from fedfactory.evaluation.inputs import cell_files, gap_files


def any_of(names: Iterable[str]) -> str:
    """Regular expression for exactly these names; one that nothing matches if there are none."""
    return "|".join(sorted(names)) or "(?!)"


def predictions(config: Config, wildcards: Mapping[str, str]) -> str:
    """The predictions of a cell.

    Raises:
        FedFactoryError: the run has no such cell, although all its parts have names: a source has a cell of the gap
            table only, a site without labels none.
    """
    setup, client, method, seed = (wildcards[key] for key in ("setup", "client", "method", "seed"))
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


def _all_scores(config: Config) -> list[str]:
    """Scores of every cell, of both protocols and of the gap table, without repetition."""
    tables = cell_files(config, "scores.csv", [*config.methods, *config.strict])
    return list(dict.fromkeys([*tables, *gap_files(config, "scores.csv")]))
