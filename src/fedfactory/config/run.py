"""The configuration of a run, checked and passed down as one immutable object."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from fedfactory.config.files import over_base, read_yaml
from fedfactory.config.models import NSD_TOLERANCE_MM, ClientEntry, RunFile, SetupFile, label_values, strict_cell
from fedfactory.config.parameters import read
from fedfactory.config.paths import Layout
from fedfactory.errors import FedFactoryError
from fedfactory.orchestration.declared import methods as declared_methods
from fedfactory.storage.files import inside


@dataclass(frozen=True)
class Client:
    """A site of a setup.

    Attributes:
        name: name in paths.
        label: name in the table.
        federated: whether it takes part in federated training.
        scored: whether it is a column of the table; a site without labels is not.
        raw: folder of its release below the data root.
        adapter: module of :mod:`fedfactory.data.adapters`.
        options: the adapter's options.
        label_values: value in the raw label maps -> stored value (1..C).
        planar: whether its volumes are stacks of flat images with nothing between them, such as OCTA's projections.
        tiles: how its pictures are cut; None where a plane is a slice.
    """

    name: str
    label: str
    federated: bool
    scored: bool
    raw: str
    adapter: str
    options: Mapping[str, Any]
    label_values: Mapping[int, int]
    planar: bool = False
    tiles: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Setup:
    """One of the paper's three setups, or a user's own.

    Attributes:
        name: name in paths.
        label: heading in the table.
        title: what it is.
        classes: class names; stored label value v is ``classes[v - 1]``.
        source: name of the client that has labels.
        figure_target: name of the target that Figure 2 shows.
        orientation: ``RAS`` or ``native``.
        clients: name -> client, the source included.
    """

    name: str
    label: str
    title: str
    classes: tuple[str, ...]
    source: str
    figure_target: str
    orientation: str
    clients: Mapping[str, Client]

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of all scored clients but the source, in the order of the table."""
        return tuple(name for name, client in self.clients.items() if client.scored and name != self.source)

    def all_federated(self) -> Self:
        """The setup with every client in the federation: what would the ones outside gain?"""
        return replace(self, clients={name: replace(client, federated=True) for name, client in self.clients.items()})


@dataclass(frozen=True)
class Method:
    """A row of the table.

    Attributes:
        name: name in paths.
        label: what the table prints.
        rules: method that makes its predictions, by the name that it declares.
        centralised: whether it takes data of several clients to one place.
        parameters: the method's own parameters, checked by its module.
        extension: whether it is this project's own, not one of the paper's.
        note: a sentence that the table prints below, behind a mark of its own; empty for none.
        section: heading of the part of the table that the row stands in; empty for the paper's own.
        bound: whether it says what is easy or what is possible, and can not be the best.
        strict: whether it has cells of the strict protocol as well.
        uses_mt: whether it sees M_t, by a configuration from before; None where that is left to its declaration.
    """

    name: str
    label: str
    rules: str
    centralised: bool
    parameters: Mapping[str, Any]
    extension: bool = False
    note: str = ""
    section: str = ""
    bound: bool = False
    strict: bool = False
    uses_mt: bool | None = None


@dataclass(frozen=True)
class Config:
    """A whole run.

    Attributes:
        files: the files, as a user would type them from the project's folder.
        run: name of the run.
        seeds: training seeds.
        device: one of :data:`fedfactory.training.devices.DEVICES`.
        data: where raw data come from; see :class:`fedfactory.config.models.RunFile`.
        preprocessing: image size, position bins and clip percentiles.
        split: fractions of validation and test.
        few_shot: |M_t|.
        setups: name -> setup.
        methods: name -> method.
        strict: cell of the strict protocol -> name of the method that trains it.
        gap_method: the source-only method of the gap table.
        scale: rows between which Dice is scaled: one that looks at no image, and one of what is possible.
        pictures: whether clients release the slices that the gallery, Figure 2 and ``cells.png`` show.
        slices: whether targets release their test cases, with truth, for the page and the gallery of failures.
        privacy: whether clients measure if the factory repeats their training slices.
        table: name of the table's files.
        accept_licences: licences of published weights that are accepted, by name.
        nsd_tolerance_mm: tolerance of the normalised surface Dice: setup, or setup/client, -> mm.
        factory: the data factory, checked by :class:`fedfactory.factory.plan.FactoryPlan`; empty without one.
        left_out: rows that cannot run on these setups: name -> why.
        shipped: names of the setups that the project has files of.
    """

    files: tuple[str, ...]
    run: str
    seeds: tuple[int, ...]
    device: str
    data: Mapping[str, Any]
    preprocessing: Mapping[str, Any]
    split: Mapping[str, float]
    few_shot: int
    setups: Mapping[str, Setup]
    methods: Mapping[str, Method]
    strict: Mapping[str, str]
    gap_method: str
    scale: tuple[str, str] | None
    pictures: bool
    slices: bool
    privacy: bool
    table: str
    accept_licences: tuple[str, ...]
    nsd_tolerance_mm: Mapping[str, float]
    factory: Mapping[str, Any]
    left_out: Mapping[str, str] = field(default_factory=dict)
    shipped: frozenset[str] = frozenset()

    @property
    def known_setups(self) -> frozenset[str]:
        """Names that keys may give: of this run's setups, and of those whose settings it inherits and does not use."""
        return self.shipped | self.setups.keys()

    @property
    def file(self) -> str:
        """The files as messages name them."""
        return _named(self.files)

    @cached_property
    def layout(self) -> Layout:
        """Paths of the run."""
        return Layout(self.run)

    @property
    def phantom(self) -> bool:
        """Whether the workflow makes the raw data itself."""
        return self.data["source"] == "phantom"

    def adapter(self, setup: str, client: str) -> str:
        """Name of a client's adapter."""
        return self.setups[setup].clients[client].adapter

    def raw_folder(self, setup: str, client: str) -> Path:
        """Where a client's raw data lie.

        Raises:
            FedFactoryError: ``raw`` in the setup's file leaves the data root.
        """
        if self.phantom:
            return Path(self.layout.client(setup, client, "raw"))
        key = f"setup {setup}, clients.{client}.raw"
        return inside(Path(self.data["root"]), self.setups[setup].clients[client].raw, key)

    def nsd_tolerance(self, setup: str, client: str) -> float:
        """Tolerance of the normalised surface Dice for a client in mm: its own, its setup's, or the default."""
        own, of_setup = (self.nsd_tolerance_mm.get(key) for key in (f"{setup}/{client}", setup))
        return own or of_setup or NSD_TOLERANCE_MM

    def method(self, name: str) -> Method:
        """The method that trains a cell, by the cell's name in paths."""
        return self.methods[self.strict.get(name, name)]

    def cells(self, names: Iterable[str] | None = None) -> list[tuple[str, str, str, int]]:
        """Cells as (setup, target, name in paths, seed), column by column: those of the table, or of some names."""
        rows = list(self.methods if names is None else names)
        return [
            (setup.name, target, name, seed)
            for setup in self.setups.values()
            for target in setup.targets
            for name in rows
            for seed in self.seeds
        ]


def load_config(values: Mapping[str, Any], files: Sequence[Path], folder: Path) -> Config:
    """Check a run's configuration and the setups it names.

    Args:
        values: the merged configuration (Snakemake's ``config``), to be laid over its base.
        files: the files it was merged from; they are read again, since Snakemake does not notice keys given twice.
        folder: folder of the Snakefile, to which paths of base and setups are relative.

    Raises:
        FedFactoryError: a sentence with the file, the key and what is wrong.
    """
    for file in files:
        read_yaml(file, _shown(file, folder))
    shown = tuple(_shown(file, folder) for file in files)
    name = _named(shown)
    values = over_base(values, folder, name)
    run = read(RunFile, values, "", name)
    setups: dict[str, Setup] = {}
    for number, relative in enumerate(run.setups):
        path = inside(folder, relative, f"{name}: key 'setups[{number}]'")
        setup = _load_setup(path, _shown(path, folder))
        if setup.name in setups:
            raise FedFactoryError(f"{name}: key 'setups': two files describe the setup '{setup.name}'")
        setups[setup.name] = setup.all_federated() if run.federate_all else setup
    methods = {key: Method(name=key, **entry) for key, entry in values["methods"].items()}
    # The paper's rows first, bounds last, and those of each section together.
    sections = list(dict.fromkeys(["", *(method.section for method in methods.values())]))
    ranks = {key: (method.bound, sections.index(method.section)) for key, method in methods.items()}
    methods = {key: methods[key] for key in sorted(methods, key=ranks.__getitem__)}
    for method in methods.values():
        if method.rules not in declared_methods():
            names = ", ".join(sorted(declared_methods()))
            raise FedFactoryError(
                f"{name}: key 'methods.{method.name}.rules': there is no method '{method.rules}'; known are {names}"
            )
    left_out = {name: reason for name, method in methods.items() if (reason := _lacks_sites(method, setups))}
    methods = {name: method for name, method in methods.items() if name not in left_out}
    if not methods:
        raise FedFactoryError(f"{name}: no row is left: {'; '.join(left_out.values())}")
    loaded = Config(
        files=shown,
        run=run.run,
        seeds=run.seeds,
        device=run.device,
        # As they stand in the file: jobs are given them as text.
        data=values["data"],
        preprocessing=values["preprocessing"],
        split=values["split"],
        few_shot=run.few_shot.slices,
        setups=setups,
        methods=methods,
        strict={strict_cell(name): name for name, method in methods.items() if method.strict},
        gap_method=run.gap_method,
        scale=run.scale,
        pictures=run.pictures,
        slices=run.slices,
        privacy=run.privacy,
        table=run.table,
        accept_licences=run.accept_licences,
        nsd_tolerance_mm=values.get("nsd_tolerance_mm") or {},
        factory=values.get("factory") or {},
        left_out=left_out,
        shipped=frozenset(file.stem for file in (folder / "config/setups").glob("*.yaml")),
    )
    places = {(setup.name, client) for setup in loaded.setups.values() for client in setup.clients}
    for place in sorted(places):
        loaded.raw_folder(*place)
    known = {*loaded.known_setups, *("/".join(place) for place in places)}
    for key in loaded.nsd_tolerance_mm:
        elsewhere = loaded.shipped - loaded.setups.keys()
        if key not in known and str(key).partition("/")[0] not in elsewhere:
            raise FedFactoryError(
                f"{name}: key 'nsd_tolerance_mm.{key}': is no setup of this run, and no setup/client; remove it"
            )
    return loaded


def _lacks_sites(method: Method, setups: Mapping[str, Setup]) -> str:
    """Why a row cannot run: a setup has fewer sites with labels than its method needs; empty if none has."""
    needed = declared_methods()[method.rules].sites
    for setup in setups.values():
        if (count := 1 + len(setup.targets)) < needed:
            return f"{method.label} needs {needed} sites with labels, and setup {setup.name} has {count}"
    return ""


def _load_setup(path: Path, name: str) -> Setup:
    found = read(SetupFile, read_yaml(path, name), "", name)
    return Setup(
        name=found.name,
        label=found.label,
        title=found.title,
        classes=found.classes,
        source=found.source,
        figure_target=found.figure_target,
        orientation=found.orientation,
        clients={key: _client(key, entry, found.classes) for key, entry in found.clients.items()},
    )


def _client(key: str, entry: ClientEntry, classes: tuple[str, ...]) -> Client:
    return Client(
        name=key,
        label=entry.label,
        federated=entry.federated,
        scored=entry.scored,
        raw=entry.raw,
        adapter=entry.adapter,
        options=entry.options or {},
        label_values=label_values(classes, entry),
        planar=entry.planar,
        tiles=None if entry.tiles is None else asdict(entry.tiles),
    )


def _named(files: Sequence[str]) -> str:
    return ", ".join(files) or "the command line"


def _shown(path: Path, folder: Path) -> str:
    """A path as a user would type it from the project's folder."""
    path = path.resolve()
    return str(path.relative_to(folder.resolve())) if path.is_relative_to(folder.resolve()) else str(path)
