"""The configuration: read, checked against config/schema.yaml, and passed down as one immutable object."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import yaml

from fedfactory.config.paths import RESERVED, Layout
from fedfactory.config.skipped_imports import without
from fedfactory.data import adapters
from fedfactory.errors import FedFactoryError
from fedfactory.orchestration.declared import methods as declared_methods
from fedfactory.storage.files import inside

# The grammar of web addresses, which no schema here asks for: a second and a half of every call.
with without("rfc3987_syntax"):
    import jsonschema

TABLE1 = "table1"
"""Name of the table that stands beside the paper's; ablations have tables of other names."""
NSD_TOLERANCE_MM = 2.0
"""Tolerance of the normalised surface Dice where a configuration gives none."""


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
        uses_mt: whether it uses M_t.
        centralised: whether it takes data of several clients to one place.
        parameters: the method's own parameters, checked by its module.
        extension: whether it is this project's own, not one of the paper's.
        note: a sentence that the table prints below, behind a mark of its own; empty for none.
    """

    name: str
    label: str
    rules: str
    uses_mt: bool
    centralised: bool
    parameters: Mapping[str, Any]
    extension: bool = False
    note: str = ""


@dataclass(frozen=True)
class Config:
    """A whole run.

    Attributes:
        files: the files, as a user would type them from the project's folder.
        run: name of the run.
        seeds: training seeds.
        device: ``auto``, ``cpu`` or ``cuda``.
        data: where raw data come from; see config/schema.yaml.
        preprocessing: image size, position bins and clip percentiles.
        split: fractions of validation and test.
        few_shot: |M_t|.
        setups: name -> setup.
        methods: name -> method.
        gap_method: the source-only method of the gap table.
        pictures: whether clients release the slices that the gallery, Figure 2 and ``cells.png`` show.
        slices: whether targets release their test cases, with truth, for the page and the gallery of failures.
        table: name of the table's files.
        accept_licences: licences of published weights that are accepted, by name.
        nsd_tolerance_mm: tolerance of the normalised surface Dice: setup, or setup/client, -> mm.
        factory: the data factory, checked by :class:`fedfactory.factory.plan.FactoryPlan`; empty without one.
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
    gap_method: str
    pictures: bool
    slices: bool
    table: str
    accept_licences: tuple[str, ...]
    nsd_tolerance_mm: Mapping[str, float]
    factory: Mapping[str, Any]

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

    def cells(self) -> list[tuple[str, str, str, int]]:
        """All cells of the table as (setup, target, method, seed)."""
        return [
            (setup.name, target, method, seed)
            for setup in self.setups.values()
            for target in setup.targets
            for method in self.methods
            for seed in self.seeds
        ]


def load_config(values: Mapping[str, Any], files: Sequence[Path], folder: Path) -> Config:
    """Check a run's configuration and the setups it names.

    Args:
        values: the merged configuration (Snakemake's ``config``).
        files: the files it was merged from; they are read again, since Snakemake does not notice keys given twice.
        folder: folder of the Snakefile, to which paths of setups are relative.

    Raises:
        FedFactoryError: a sentence with the file, the key and what is wrong.
    """
    for file in files:
        read_yaml(file, _shown(file, folder))
    shown = tuple(_shown(file, folder) for file in files)
    name = _named(shown)
    schema = read_yaml(folder / "config" / "schema.yaml", "config/schema.yaml")
    _validate(values, schema, "run", name)
    setups = {}
    for number, relative in enumerate(values["setups"]):
        path = inside(folder, relative, f"{name}: key 'setups[{number}]'")
        setup = _load_setup(path, schema, _shown(path, folder))
        if setup.name in setups:
            raise FedFactoryError(f"{name}: key 'setups': two files describe the setup '{setup.name}'")
        setups[setup.name] = setup.all_federated() if values.get("federate_all", False) else setup
    methods = {key: Method(name=key, **entry) for key, entry in values["methods"].items()}
    _check_methods(methods, values["gap_method"], name)
    low, high = values["preprocessing"]["clip_percentiles"]
    if low >= high:
        raise FedFactoryError(f"{name}: key 'preprocessing.clip_percentiles': {low} must lie below {high}")
    loaded = Config(
        files=shown,
        run=values["run"],
        seeds=tuple(values["seeds"]),
        device=values["device"],
        data=values["data"],
        preprocessing=values["preprocessing"],
        split=values["split"],
        few_shot=values["few_shot"]["slices"],
        setups=setups,
        methods=methods,
        gap_method=values["gap_method"],
        pictures=values["pictures"],
        slices=values.get("slices", False),
        table=values.get("table", TABLE1),
        accept_licences=tuple(values.get("accept_licences", ())),
        nsd_tolerance_mm=values.get("nsd_tolerance_mm", {}),
        factory=values.get("factory", {}),
    )
    places = {(setup.name, client) for setup in loaded.setups.values() for client in setup.clients}
    for setup, client in sorted(places):
        loaded.raw_folder(setup, client)
    known = {*loaded.setups, *("/".join(place) for place in places)}
    for key in loaded.nsd_tolerance_mm:
        if key not in known:
            raise FedFactoryError(
                f"{name}: key 'nsd_tolerance_mm.{key}': is no setup of this run, and no setup/client; remove it"
            )
    return loaded


def _check_methods(methods: Mapping[str, Method], gap_method: str, file: str) -> None:
    for method in methods.values():
        key = f"{file}: key 'methods.{method.name}"
        if method.name in RESERVED:
            raise FedFactoryError(f"{key}': the name is reserved for a folder of the results; choose another")
        if method.rules not in declared_methods():
            known = ", ".join(sorted(declared_methods()))
            raise FedFactoryError(f"{key}.rules': there is no method '{method.rules}'; known are {known}")
    if gap_method not in methods or methods[gap_method].uses_mt:
        known = ", ".join(method.name for method in methods.values() if not method.uses_mt)
        raise FedFactoryError(
            f"{file}: key 'gap_method': '{gap_method}' is no method of this run without M_t; known are {known}"
        )


def read_yaml(path: Path, name: str) -> Any:
    """Read YAML with safe types only; a key given twice is an error instead of a silent loss.

    Args:
        path: the file.
        name: what messages call it.

    Raises:
        FedFactoryError: missing file, broken YAML, or a key given twice.
    """
    try:
        # _StrictLoader is a SafeLoader: plain values only, no Python objects.
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except OSError as error:
        raise FedFactoryError(f"{name}: cannot be read ({error.strerror}); correct the path") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise FedFactoryError(f"{name}: is not valid YAML: {reason}") from error


class _StrictLoader(yaml.SafeLoader):
    pass


def _mapping_without_doubles(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            line = key_node.start_mark.line + 1
            raise yaml.YAMLError(f"the key '{key}' is given twice (line {line}); rename or remove one")
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_doubles)


def _load_setup(path: Path, schema: Mapping[str, Any], name: str) -> Setup:
    values = read_yaml(path, name)
    _validate(values, schema, "setup", name)
    clients = values["clients"]
    for key in ("source", "figure_target"):
        if values[key] not in clients:
            raise FedFactoryError(f"{name}: key '{key}': '{values[key]}' is no client; known are {', '.join(clients)}")
    if values["figure_target"] == values["source"] or not clients[values["figure_target"]].get("scored", True):
        raise FedFactoryError(f"{name}: key 'figure_target': '{values['figure_target']}' is no scored target")
    if not clients[values["source"]].get("scored", True):
        raise FedFactoryError(f"{name}: key 'clients.{values['source']}.scored': the source has labels and is scored")
    for reserved in RESERVED:
        if reserved == values["name"] or reserved in clients:
            raise FedFactoryError(
                f"{name}: the name '{reserved}' is reserved for a folder of the results; choose another"
            )
    classes = tuple(values["classes"])
    return Setup(
        name=values["name"],
        label=values["label"],
        title=values["title"],
        classes=classes,
        source=values["source"],
        figure_target=values["figure_target"],
        orientation=values["orientation"],
        clients={key: _client(key, entry, classes, name) for key, entry in clients.items()},
    )


def _client(key: str, entry: Mapping[str, Any], classes: Sequence[str], file: str) -> Client:
    if entry["adapter"] not in adapters.known():
        raise FedFactoryError(
            f"{file}: key 'clients.{key}.adapter': '{entry['adapter']}' is unknown; known are "
            f"{', '.join(adapters.known())}"
        )
    label_values: dict[int, int] = {}
    where = f"{file}: key 'clients.{key}.labels'"
    if set(entry["labels"]) != set(classes):
        raise FedFactoryError(f"{where}: must name exactly the classes {', '.join(classes)}")
    for class_name, raw_values in entry["labels"].items():
        for value in raw_values if isinstance(raw_values, list) else [raw_values]:
            if value in label_values:
                raise FedFactoryError(f"{where}: the value {value} stands for two classes")
            label_values[value] = classes.index(class_name) + 1
    return Client(
        name=key,
        label=entry["label"],
        federated=entry["federated"],
        scored=entry.get("scored", True),
        raw=entry["raw"],
        adapter=entry["adapter"],
        options=entry.get("options", {}),
        label_values=label_values,
        planar=entry.get("planar", False),
    )


# JSON Schema counts 1.0 as an integer and YAML knows .nan: neither is what a seed or a size may be.
_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
        {
            "integer": lambda _, value: type(value) is int,
            "number": lambda _, value: type(value) in (int, float) and math.isfinite(value),
        }
    ),
)


def _validate(values: Any, schema: Mapping[str, Any], part: str, file: str) -> None:
    """Check one file; the deepest of the errors is the one that helps."""
    validator = _Validator({**schema, "$ref": f"#/$defs/{part}"})
    errors = [leaf for error in validator.iter_errors(values) for leaf in _leaves(error, values)]
    if errors:
        path, message = max(errors, key=lambda error: len(error[0]))
        key = ".".join(str(item) for item in path)
        raise FedFactoryError(f"{file}: key '{key}': {message}" if key else f"{file}: {message}")


def _leaves(error: jsonschema.ValidationError, values: Any) -> list[tuple[tuple[Any, ...], str]]:
    """Turn a validation error into (path, sentence); alternatives are resolved by their 'source'."""
    path = tuple(error.absolute_path)
    if error.validator in ("oneOf", "anyOf") and not isinstance(error.instance, Mapping):
        kinds = " or ".join(branch.get("type", "object") for branch in error.validator_value)
        return [(path, f"must be of type {kinds}, not {error.instance!r}")]
    if error.validator == "oneOf":
        if "source" not in error.instance:
            return [((*path, "source"), "is missing")]
        branches: dict[int, list[jsonschema.ValidationError]] = {}
        for sub in error.context:
            branches.setdefault(sub.schema_path[0], []).append(sub)
        fitting = [subs for subs in branches.values() if all(sub.validator != "const" for sub in subs)]
        if not fitting:
            sources = [branch["properties"]["source"]["const"] for branch in error.schema["oneOf"]]
            given = error.instance["source"]
            return [((*path, "source"), f"{given!r} is unknown; known are {', '.join(sources)}")]
        return [leaf for sub in fitting[0] for leaf in _leaves(sub, values)]
    if error.validator == "additionalProperties":
        known = sorted(error.schema.get("properties", {}))
        unknown = sorted(set(error.instance) - set(known), key=str)
        return [((*path, unknown[0]), f"is unknown; known are {', '.join(known)}")]
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        return [((*path, missing[0]), "is missing")]
    if error.validator == "type":
        return [(path, f"must be of type {error.validator_value}, not {error.instance!r}")]
    if error.validator == "pattern":
        return [
            (path, f"{error.instance!r} is no valid name (lower-case letters, digits and _, starting with a letter)")
        ]
    return [(path, error.message)]


def _named(files: Sequence[str]) -> str:
    return ", ".join(files) or "the command line"


def _shown(path: Path, folder: Path) -> str:
    """A path as a user would type it from the project's folder."""
    path = path.resolve()
    return str(path.relative_to(folder.resolve())) if path.is_relative_to(folder.resolve()) else str(path)
