"""The rows of a run that one method makes: their parameters, and the files of their jobs."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from fedfactory.config.parameters import LIKE, check_setups, for_setup, merged, read
from fedfactory.config.run import Config, Method
from fedfactory.errors import FedFactoryError
from fedfactory.orchestration.declared import Method as Declaration
from fedfactory.orchestration.declared import Rule, load, methods
from fedfactory.orchestration.labels import Labels


class Cells:
    """What the rules of a method ask for; enough for one that is fitted at the target, a base for all others.

    Args:
        config: the run.
        project: folder of the Snakefile.
        declared: the method.

    Attributes:
        declared: the method.
        entries: name of a row -> its entry in the configuration, of all rows that the method makes.
        parameters: name of a row -> setup -> checked parameters.

    Raises:
        FedFactoryError: bad parameters; the sentence names file and key.
    """

    def __init__(self, config: Config, project: Path, declared: Declaration) -> None:
        self._config, self._project, self.declared = config, project, declared
        self.entries: dict[str, Method] = {
            name: entry for name, entry in config.methods.items() if entry.rules == declared.name
        }
        try:
            self.parameters = {
                name: {setup: self._read(name, setup) for setup in config.setups} for name in self.entries
            }
            self._check()
        except FedFactoryError as error:
            raise FedFactoryError(f"{config.file}: {error}") from None

    def of(self, method: str, setup: str) -> Any:
        """Checked parameters of a row."""
        return self.parameters[method][setup]

    def results(self) -> list[str]:
        """Files beside its cells that a run asks for."""
        return []

    @property
    def memory_mb(self) -> int:
        """Memory in MB of a job of the shared rules."""
        return self.declared.memory_mb

    def values(self, wildcards: Any) -> dict[str, Any]:
        """Parameters of a training as they stand in the configuration, for the cell's setup if it has one."""
        setup = getattr(wildcards, "setup", None)
        return self._values(wildcards.method, setup) if setup else dict(self.entries[wildcards.method].parameters)

    def model(self, wildcards: Any) -> str:
        """The model that segments a cell."""
        return self._cell(wildcards, wildcards.client, wildcards.method, "model")

    def starts_from(self, wildcards: Any) -> list[str]:
        """Models that a fit starts from, in the order in which the method expects them."""
        return []

    def with_model(self, wildcards: Any) -> list[str]:
        """What else the prediction reads, in the order in which the method's segmenter expects it."""
        return []

    def prediction(self, wildcards: Any) -> Mapping[str, Any]:
        """Parameters of the prediction."""
        return self.values(wildcards)

    def _read(self, method: str, setup: str) -> Any:
        """Read the parameters of a row for one setup; a message names the setup where setups differ."""
        values, key = self._values(method, setup), key_of(method)
        if self.declared.parameters:
            try:
                return read(load(self.declared.parameters), values, key)
            except FedFactoryError as error:
                same = all(self._values(method, other) == values for other in self._config.setups)
                raise FedFactoryError(f"{error}" if same else f"setup {setup}: {error}") from None
        if values:
            raise FedFactoryError(f"key '{key}.{next(iter(values))}': this method has no parameters; remove it")
        return None

    def _values(self, method: str, setup: str) -> dict[str, Any]:
        """Parameters of a row for one setup, as they stand in the configuration.

        A row that is ``like`` another one says only what differs; what differs for a setup is laid over that.
        """
        values = dict(self.entries[method].parameters)
        check_setups(values, self._config.known_setups, key_of(method))
        like = values.pop(LIKE, None)
        if like is not None:
            if not isinstance(like, str) or like not in self.entries or LIKE in self.entries[like].parameters:
                raise FedFactoryError(
                    f"key '{key_of(method)}.{LIKE}': '{like}' is no row of the same method that stands for itself"
                )
            values = self._over(self._values(like, setup), values)
        return for_setup(values, setup)

    def _over(self, other: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters of a row over those of the one that it is like."""
        return merged(other, own)

    def same(self, method: str, name: str) -> Any:
        """A parameter of a row that may not differ from setup to setup.

        Raises:
            FedFactoryError: it does.
        """
        first, *others = (getattr(parameters, name) for parameters in self.parameters[method].values())
        if any(other != first for other in others):
            raise FedFactoryError(f"key '{key_of(method)}.{name}': must be the same in all setups")
        return first

    def labels(self, method: str) -> dict[str, Labels]:
        """Which labelled slices of a target a row sees, by setup."""
        return {setup: self.declared.labels(parameters) for setup, parameters in self.parameters[method].items()}

    def _check(self) -> None:
        """Check what the parameters of rows demand of each other and of the run."""

    def _cell(self, wildcards: Any, client: str, method: str, *parts: str) -> str:
        return self._config.layout.cell(wildcards.setup, client, method, wildcards.seed, *parts)

    def _source(self, wildcards: Any) -> str:
        return self._config.setups[wildcards.setup].source


def key_of(method: str) -> str:
    """Where the parameters of a row stand in the configuration."""
    return f"methods.{method}.parameters"


class Methods:
    """All methods of a run, for the rules that they share.

    Args:
        config: the run.
        project: folder of the Snakefile.

    Attributes:
        cells: of every method that the run uses, by the method's name.
        labels: of every row, by its name and setup: which labelled slices of a target it sees.
        chosen: (setup, row) of the cells among whose states the target's validation volumes choose.

    Raises:
        FedFactoryError: bad parameters of one of them, a ``gap_method`` that uses M_t, or a strict protocol for a row
            that has none.
    """

    def __init__(self, config: Config, project: Path) -> None:
        self._config, self._project = config, project
        used = dict.fromkeys(sorted(entry.rules for entry in config.methods.values()))
        self.cells: dict[str, Cells] = {name: methods()[name].open(config, project) for name in used}
        self.labels = {name: self.cells[entry.rules].labels(name) for name, entry in config.methods.items()}
        self.chosen = {
            (setup, name)
            for name, own in self.labels.items()
            for setup, labels in own.items()
            if self._declared(name).choose and labels.validation
        }
        for name in config.strict.values():
            self._check_strict(name)
        for name, own in self.labels.items():
            said, seen = config.methods[name].uses_mt, any(labels.of_m_t for labels in own.values())
            if said is not None and said != seen:
                raise FedFactoryError(
                    f"{config.file}: key 'methods.{name}.uses_mt': is {str(said).lower()}, and the method "
                    f"{'sees' if seen else 'does not see'} M_t; take the key away"
                )
        without = [name for name, own in self.labels.items() if not any(labels.of_m_t for labels in own.values())]
        if config.gap_method not in without:
            raise FedFactoryError(
                f"{config.file}: key 'gap_method': '{config.gap_method}' is no method of this run without M_t; known "
                f"are {', '.join(without)}"
            )

    def rule_files(self) -> list[str]:
        """Rule files of the methods that have rules of their own, relative to the project."""
        files = (f"rules/methods/{name}.smk" for name in self.cells)
        return [file for file in files if (self._project / file).is_file()]

    def results(self) -> list[str]:
        """Files of the methods, beside their cells, that the run asks for."""
        return [file for cells in self.cells.values() for file in cells.results()]

    def rows(self, rule: Rule) -> list[str]:
        """Names of the rows whose method takes a shared rule."""
        return [name for cells in self.cells.values() if rule in cells.declared.rules for name in cells.entries]

    def predicted(self, rows: Collection[str]) -> list[str]:
        """Names in paths of the cells of rows: theirs, and those of the strict protocol."""
        return [*rows, *(cell for cell, row in self._config.strict.items() if row in rows)]

    def strict(self) -> list[str]:
        """Names in paths of the rows of the strict table, in its order; bounds are no rivals, and stand there too."""
        cell_of = {row: cell for cell, row in self._config.strict.items()}
        return [
            cell_of.get(name, name)
            for name, own in self.labels.items()
            if name in cell_of or self._config.methods[name].bound or not any(x.validation for x in own.values())
        ]

    def of(self, wildcards: Any) -> Cells:
        """What makes a row."""
        return self.cells[self._config.method(wildcards.method).rules]

    def choice(self, wildcards: Any) -> list[str]:
        """What the target's validation volumes chose for a cell; nothing where they do not."""
        name, setup = wildcards.method, wildcards.setup
        if (setup, name) not in self.chosen:
            return []
        return [self._config.layout.cell(setup, wildcards.client, name, wildcards.seed, "choice.csv")]

    def labels_of(self, wildcards: Any) -> str:
        """Which labelled slices of the target have a part in a cell: what its scores count."""
        own = self.labels[self._config.method(wildcards.method).name][wildcards.setup]
        return (own.without_validation() if wildcards.method in self._config.strict else own).to_json()

    def labels_in_words(self, row: str) -> list[str]:
        """The different labelled slices of a target that a row sees in its setups, in words; empty for none."""
        return list(dict.fromkeys(labels.in_words() for labels in self.labels[row].values()))

    def labels_json(self, wildcards: Any) -> str:
        """Which labelled slices of the target a job of a row sees; without validation volumes that choose later."""
        row = self._config.method(wildcards.method).name
        own = self.labels[row][wildcards.setup]
        return (own.without_validation() if self._declared(row).choose else own).to_json()

    def declared(self, wildcards: Any) -> Declaration:
        """The declaration of a row's method."""
        return self.of(wildcards).declared

    def memory(self, wildcards: Any, attempt: int) -> int:
        """MB of a job, more after a failure."""
        return self.of(wildcards).memory_mb * attempt

    def modules(self, wildcards: Any) -> list[str]:
        """Modules that the scripts of shared rules import by a name; for the digest of their code."""
        declared = self.declared(wildcards)
        named = (declared.fit, declared.choose, declared.segmenter, declared.also)
        return [reference.partition(":")[0] for reference in named if reference]

    def model(self, wildcards: Any) -> str:
        """The model that segments a cell."""
        return self.of(wildcards).model(self.trained(wildcards))

    def starts_from(self, wildcards: Any) -> list[str]:
        """Models that a fit starts from."""
        return self.of(wildcards).starts_from(wildcards)

    def with_model(self, wildcards: Any) -> list[str]:
        """What else the prediction reads."""
        return self.of(wildcards).with_model(self.trained(wildcards))

    def values(self, wildcards: Any) -> str:
        """Parameters of a fit, as JSON."""
        return json.dumps(self.of(wildcards).values(wildcards))

    def prediction(self, wildcards: Any) -> str:
        """Parameters of a prediction, as JSON."""
        return json.dumps(self.of(wildcards).prediction(self.trained(wildcards)))

    def trained(self, wildcards: Any) -> Any:
        """Wildcards of the cell whose training a cell is predicted from: its own, or that of the paper's protocol."""
        w = wildcards
        return SimpleNamespace(setup=w.setup, client=w.client, method=self._config.method(w.method).name, seed=w.seed)

    def _check_strict(self, name: str) -> None:
        """Refuse a strict protocol for a row whose training reads validation volumes, or that never does."""
        key = f"{self._config.file}: key 'methods.{name}.strict': the method"
        if not any(labels.validation for labels in self.labels[name].values()):
            raise FedFactoryError(f"{key} asks no validation volume anything: its cells are strict; set it to false")
        if not self._declared(name).choose:
            raise FedFactoryError(
                f"{key} cannot follow the strict protocol: its training itself reads labels of validation volumes "
                "(declare 'choose' instead: docs/add-a-method.md); set it to false"
            )

    def _declared(self, name: str) -> Declaration:
        return self.cells[self._config.methods[name].rules].declared
