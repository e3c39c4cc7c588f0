"""Models of the configuration's files: the only check of their keys, and what schema and tables are made from.

A class's docstring explains every key; ``python -m fedfactory.config.document`` copies it from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from fedfactory.config.parameters import STRICT, UNIQUE, Count, Label, Name, Natural, OneOf, Part, Positive, Text
from fedfactory.config.paths import FOLDERS
from fedfactory.config.sentences import WORD, Misfit
from fedfactory.data import adapters
from fedfactory.data.formats import LARGEST
from fedfactory.data.tiling import Tiles
from fedfactory.factory.parameters import FactorySection
from fedfactory.orchestration.declared import private
from fedfactory.training.devices import DEVICES

TABLE1 = "table1"
STRICT_TABLE = f"{TABLE1}_strict"
"""Name of the table that stands beside the paper's; ablations have tables of other names."""
NSD_TOLERANCE_MM = 2.0
"""Tolerance of the normalised surface Dice where a configuration gives none."""
Percentile = Annotated[float, Field(ge=0, le=100)]
ClassName = Annotated[str, Field(pattern=WORD)]


@dataclass(frozen=True)
class PhantomData:
    """Raw data that the workflow makes itself.

    Attributes:
        source: data that the workflow makes itself.
        seed: seed of phantoms, split and M_t; training seeds do not touch it.
        subjects: subjects of a site.
        size: edge of a slice as the scanner gives it, in pixels.
        slices: slices of a volume.
    """

    __pydantic_config__ = STRICT
    source: Literal["phantom"]
    seed: Natural
    subjects: Count
    size: Annotated[int, Field(ge=32)]
    slices: Annotated[int, Field(ge=6)]


@dataclass(frozen=True)
class FileData:
    """Real data.

    Attributes:
        source: real data.
        seed: seed of split and M_t; training seeds do not touch it.
        root: the folder below which every client's ``raw`` lies; relative to where Snakemake runs, or absolute.
        largest_mvoxel: files that claim more million voxels than this are refused before they are read.
    """

    __pydantic_config__ = STRICT
    source: Literal["files"]
    seed: Natural
    root: Text
    largest_mvoxel: Positive = LARGEST / 1e6


@dataclass(frozen=True)
class Preprocessing:
    """From volumes to slices.

    Attributes:
        image_size: edge of the square slices in pixels.
        position_bins: bins of the slice position, a condition of the factory.
        clip_percentiles: percentiles of the client's own intensities that become -1 and 1.
    """

    __pydantic_config__ = STRICT
    image_size: Annotated[int, Field(ge=16)]
    position_bins: Count
    clip_percentiles: tuple[Percentile, Percentile]

    def __post_init__(self) -> None:
        """Check that the percentiles ascend."""
        low, high = self.clip_percentiles
        if low >= high:
            raise Misfit("clip_percentiles", f"{low} must lie below {high}")


@dataclass(frozen=True)
class Split:
    """How many labelled subjects are set aside; the rest trains.

    Attributes:
        validation: for validation: a fraction of them, rounded down, or their number.
        test: for testing, likewise. At 0.15 a client needs seven labelled subjects to have one for it.
    """

    __pydantic_config__ = STRICT
    validation: Part | Count
    test: Part | Count


@dataclass(frozen=True)
class FewShot:
    """The few labelled slices of a target.

    Attributes:
        slices: their number, the size of M_t.
    """

    __pydantic_config__ = STRICT
    slices: Count


@dataclass(frozen=True)
class MethodEntry:
    """A row of the table.

    Attributes:
        label: what the table prints.
        rules: the method that makes its predictions, by the name in its declaration.
        centralised: whether it takes data of several clients to one place; the table marks it.
        parameters: the method's own parameters: see below.
        extension: whether it is this project's own, not one of the paper's; the table marks it.
        note: a sentence that the table prints below, behind a mark of its own; empty for none.
        section: heading of the part of the table that the row stands in; empty for the paper's own, which stand first.
        bound: whether it says what is easy or what is possible, and can not be the best; bounds stand below all others.
        strict: whether a row among whose states the target's validation volumes choose has second cells, for the strict
            protocol: from the same training the state that it names itself, where these volumes have no part in
            anything. Those of ``ours`` are named ``ours_strict``.
        uses_mt: of configurations from before, which said here whether a row sees M_t; it must agree with what the
            method's declaration says.
    """

    __pydantic_config__ = STRICT
    label: Label
    rules: Name
    centralised: bool
    parameters: dict[str, Any]
    extension: bool = False
    note: str = ""
    section: str = ""
    bound: bool = False
    strict: bool = False
    uses_mt: bool | None = None

    def __post_init__(self) -> None:
        """Check what one value demands of another."""
        if self.bound and not self.section:
            raise Misfit("section", "is missing: bounds stand in a part of their own; give it a heading")


@dataclass(frozen=True, kw_only=True)
class RunFile:
    """A run: what ``--configfile`` gives, over its base.

    Attributes:
        base: path of a file below the project's folder, whose values hold where this one says nothing else. Mappings
            are merged key by key, lists are replaced. A method of the base that is null here is no row.
        run: name; results go to ``results/<run>``.
        seeds: training seeds; each is a full set of cells.
        device: ``auto`` is a GPU where there is one. ``cpu`` gives the same bytes on every x86-64 processor,
            ``cpu-fast`` on one like this; ``cuda`` the same on one card, and ``cuda-fast`` gives even that up. Unless
            on a CPU, a training asks for one GPU, and trainings take turns on a machine with one.
        data: where raw data come from, one of two kinds.
        preprocessing: from volumes to slices.
        split: what is kept from training.
        few_shot: what a target has of labels.
        setups: files of the setups, in the order of the table; paths below the project's folder.
        methods: rows of the table, by name and in its order.
        gap_method: the source-only method whose Dice at every client is published as the gap table.
        scale: two rows, one that looks at no image and one of what is possible, between which the analysis also gives
            every row's Dice, as 0 to 100; null for none.
        pictures: whether clients release the few slices that the gallery, Figure 2 and ``cells.png`` show. Without,
            these pictures are not made, and those of single cells stay out of the report.
        slices: whether targets release their test cases, with truth, for the page and ``failures.png``. Without, the
            page has figures, provenance and costs only.
        privacy: whether every federated client measures if the factory repeats its training slices
            (``factory/seed<n>/privacy.md``).
        factory: the data factory of every setup (paper, section 3.1); null for a run without one.
        nsd_tolerance_mm: distance within which a surface counts as found (NSD), in mm, for a setup (``ms``) or one of
            its clients (``mo/octa``); 2 where nothing is given.
        federate_all: a control: clients that the setups keep out of the federation take part as well.
        accept_licences: licences of published weights that you accept, by name, before they are fetched or used
            (``config/weights.yaml``).
        table: name of the table's files; another one leaves Table 1 as it is.
    """

    __pydantic_config__ = STRICT
    base: str | None = None
    run: Name
    seeds: Annotated[tuple[Natural, ...], Field(min_length=1), UNIQUE]
    device: Annotated[str, OneOf(DEVICES)]
    data: Annotated[PhantomData | FileData, Field(discriminator="source")]
    preprocessing: Preprocessing
    split: Split
    few_shot: FewShot
    setups: Annotated[tuple[str, ...], Field(min_length=1), UNIQUE]
    methods: Annotated[dict[Name, MethodEntry], Field(min_length=1)]
    gap_method: Name
    pictures: bool
    scale: tuple[Name, Name] | None = None
    slices: bool = False
    privacy: bool = False
    factory: FactorySection | None = None
    nsd_tolerance_mm: dict[str, Positive] | None = None
    federate_all: bool = False
    accept_licences: tuple[str, ...] = ()
    table: Name = TABLE1

    def __post_init__(self) -> None:
        """Check names of methods."""
        for name, entry in self.methods.items():
            if entry.strict and strict_cell(name) in self.methods:
                raise Misfit(f"methods.{strict_cell(name)}", f"is the strict cell of '{name}'; choose another name")
        for name in self.scale or ():
            if name not in self.methods:
                raise Misfit("scale", f"'{name}' is no method of this run; set it to null without such rows")
        for name in _reserved():
            if name in self.methods:
                raise Misfit(f"methods.{name}", "the name is reserved for a folder of the results; choose another")


@dataclass(frozen=True)
class ClientEntry:
    """A site of a setup.

    Attributes:
        label: heading of its column.
        federated: whether it takes part in federated training; if not, the table prints an asterisk.
        raw: folder of its release below ``data.root``; may not leave it.
        adapter: who reads it, a module of ``fedfactory.data.adapters``.
        labels: class to value, or list of values, in the raw label maps; other values are refused.
        options: options of the adapter, which checks them.
        planar: whether a volume is a stack of flat images with nothing between them, such as OCTA's projections: HD95
            and NSD are then measured in each image.
        scored: false for a site without labels: it may train a federated model, but is no column.
        tiles: for pictures that are larger than ``image_size``: they are cut into tiles of that edge.
    """

    __pydantic_config__ = STRICT
    label: Label
    federated: bool
    raw: Text
    adapter: Annotated[str, OneOf(tuple(adapters.known()))]
    labels: Annotated[
        dict[str, Count | Annotated[tuple[Count, ...], Field(min_length=1)]],
        Field(min_length=1),
    ]
    options: dict[str, Any] | None = None
    planar: bool = False
    scored: bool = True
    tiles: Tiles | None = None

    def values(self, name: str) -> tuple[int, ...]:
        """Values of a class in the raw label maps."""
        found = self.labels[name]
        return (found,) if isinstance(found, int) else found


@dataclass(frozen=True)
class SetupFile:
    """A setup: its clients, and who of them has labels.

    Attributes:
        name: name in paths.
        label: heading in the table.
        title: what it is.
        classes: label 1, 2, ... in this order.
        source: the client whose labels train models; all others are targets, in the order of the file. Targets need
            labels too: for M_t, validation and test.
        figure_target: the target that Figure 2 shows.
        orientation: ``RAS``: volumes are reoriented before slicing; ``native``: the last axis of the stored array is
            sliced.
        clients: all clients by name.
    """

    __pydantic_config__ = STRICT
    name: Name
    label: Label
    title: str
    classes: Annotated[tuple[ClassName, ...], Field(min_length=1), UNIQUE]
    source: Name
    figure_target: Name
    orientation: Literal["RAS", "native"]
    clients: Annotated[dict[Name, ClientEntry], Field(min_length=2)]

    def __post_init__(self) -> None:
        """Check names and labels."""
        for key in ("source", "figure_target"):
            if getattr(self, key) not in self.clients:
                known = ", ".join(self.clients)
                raise Misfit(key, f"'{getattr(self, key)}' is no client; known are {known}")
        if self.figure_target == self.source or not self.clients[self.figure_target].scored:
            raise Misfit("figure_target", f"'{self.figure_target}' is no scored target")
        if not self.clients[self.source].scored:
            raise Misfit(f"clients.{self.source}.scored", "the source has labels and is scored")
        for reserved in _reserved():
            if reserved == self.name or reserved in self.clients:
                raise Misfit("", f"the name '{reserved}' is reserved for a folder of the results; choose another")
        for name, client in self.clients.items():
            self._check_labels(f"clients.{name}.labels", client)

    def _check_labels(self, key: str, client: ClientEntry) -> None:
        if set(client.labels) != set(self.classes):
            raise Misfit(key, f"must name exactly the classes {', '.join(self.classes)}")
        values = [value for name in client.labels for value in client.values(name)]
        for value in values:
            if values.count(value) > 1:
                raise Misfit(key, f"the value {value} stands for two classes")


def strict_cell(method: str) -> str:
    """Name in paths of a row's cell of the strict protocol."""
    return f"{method}_strict"


def label_values(classes: tuple[str, ...], client: ClientEntry) -> Mapping[int, int]:
    """Value in a client's raw label maps -> stored value (1..C)."""
    return {value: classes.index(name) + 1 for name in client.labels for value in client.values(name)}


def _reserved() -> tuple[str, ...]:
    """Names that no setup, client or method may take: folders of the layout, and private outputs of rules."""
    return (*FOLDERS, *sorted(private()))
