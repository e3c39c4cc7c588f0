import copy
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from snakemake.utils import update_config

from fedfactory.config import document
from fedfactory.config.files import over_base, read_run, read_yaml
from fedfactory.config.run import load_config
from fedfactory.errors import FedFactoryError
from fedfactory.orchestration.declared import methods
from tests.conftest import ROOT


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the setups, one run and its base; tests change them."""
    (tmp_path / "config/setups").mkdir(parents=True)
    for name in ("base.yaml", "demo.yaml", "setups/ms.yaml", "setups/mm.yaml", "setups/mo.yaml"):
        (tmp_path / "config" / name).write_text((ROOT / "config" / name).read_text())
    (tmp_path / "rules").mkdir()
    for file in (ROOT / "rules").iterdir():
        (tmp_path / "rules" / file.name).touch()
    return tmp_path


def load(project: Path, **changes):
    file = project / "config/demo.yaml"
    return load_config(read_run([file], project) | changes, [file], project)


def edit(project: Path, name: str, old: str, new: str) -> None:
    file = project / "config" / name
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new, 1))


@pytest.mark.parametrize(("name", "targets"), [("demo", 9), ("paper", 9), ("test", 6)])
def test_shipped_configurations_hold_every_cell(name, targets):
    file = ROOT / f"config/{name}.yaml"
    config = load_config(yaml.safe_load(file.read_text()), [file], ROOT)
    assert len(config.cells()) == targets * len(config.methods) * len(config.seeds)
    assert config.setups["ms"].targets == ("siemens", "ge", "canon")
    assert name == "test" or config.setups["mm"].targets == ("pet", "ct", "t2w")


def test_paper_matches_the_setups_of_the_publication():
    file = ROOT / "config/paper.yaml"
    config = load_config(yaml.safe_load(file.read_text()), [file], ROOT)
    assert {name: setup.source for name, setup in config.setups.items()} == {
        "ms": "philips",
        "mm": "pdw",
        "mo": "oasis",
    }
    outside = {c.name for s in config.setups.values() for c in s.clients.values() if not c.federated}
    assert outside == {"canon", "t2w", "ixi"}
    assert config.few_shot == 3
    assert config.preprocessing["image_size"] == 512


def test_every_client_can_take_part_in_the_federation(project):
    for wanted in (False, True):
        clients = [c for setup in load(project, federate_all=wanted).setups.values() for c in setup.clients.values()]
        assert {c.name for c in clients if not c.federated} == (set() if wanted else {"canon", "t2w", "ixi"})


def test_the_published_run_is_the_demo_on_other_phantoms():
    demo, files = read_run([ROOT / "config/demo.yaml"], ROOT), sorted((ROOT / "config/published").glob("*.yaml"))
    seeds = set()
    for file in files:
        own = read_run([file], ROOT)
        seeds.add(seed := own["data"]["seed"])
        assert own == demo | {"run": file.stem, "seeds": [0, 1, 2], "data": demo["data"] | {"seed": seed}}
    assert len(seeds) == 3 and not seeds & {0, 1, 2, 3}, "phantoms by which something was chosen"
    (names,) = re.findall(r"^PHANTOMS := (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert names.split() == [file.stem for file in files]


def test_a_normalisation_of_ones_own_needs_the_labels_of_all():
    files = [ROOT / "config/demo.yaml"]
    values = read_run(files, ROOT)
    values["methods"]["fedsemi"]["parameters"]["own_normalisation"] = True
    with pytest.raises(FedFactoryError, match="methods.fedsemi.parameters.own_normalisation': goes with the labels of"):
        methods()["fedavg"].open(load_config(values, files, ROOT), ROOT)


def test_rows_beyond_the_paper_stand_between_its_rows_and_bounds():
    files = [ROOT / "config/demo.yaml"]
    rows = list(load_config(read_run(files, ROOT), files, ROOT).methods)
    papers = list(yaml.safe_load((ROOT / "config/base.yaml").read_text())["methods"])
    added = {name: row for name, row in yaml.safe_load(files[0].read_text())["methods"].items() if name not in papers}
    rivals, bounds = ([name for name, row in added.items() if bool(row.get("bound")) is kind] for kind in (False, True))
    start = rows.index("ours_paired") + 1
    assert rows[start:] == [*rivals, "mean_mask", "only_mt", "all_labels", "fedavg", "pooled", *bounds]
    assert rivals and bounds


@pytest.mark.parametrize("name", ["", "_key", "_inside", "_slices"])
def test_ablations_lie_over_the_demo(name):
    files = [ROOT / "config/demo.yaml", ROOT / f"config/ablation{name}.yaml"]
    demo, own = (yaml.safe_load(file.read_text()) for file in files)
    update_config(demo, own)
    assert over_base(demo, ROOT, "") == read_run(files, ROOT), "Snakemake merges files as the package does"
    config = load_config(demo, files, ROOT)
    cells = methods()["ours"].open(config, ROOT)
    for method in ("ours", "ours_paired", *(own.get("methods") or ())):
        assert set(cells.parameters[method]) == set(config.setups)
    held_out = sum(config.split[part] for part in ("validation", "test"))
    assert config.few_shot <= config.data["subjects"] - held_out, "one slice of each training subject"
    # What changes factory or data is a run of its own; what does not is a table of its own beside the demo's cells.
    assert (config.run != "demo") == ("methods" not in own)
    assert (config.table != "table1") == ("methods" in own)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 3}, "config/demo.yaml: key 'seed': is unknown; known are"),
        ({"seeds": "0"}, "key 'seeds': must be a list, not '0'"),
        ({"seeds": [0, 0]}, "key 'seeds': 0 is given twice; remove one"),
        ({"seeds": [0, True]}, "key 'seeds.1': must be a whole number, not True"),
        ({"device": "gpu"}, "key 'device': 'gpu' is unknown; known are auto, cpu, cpu-fast, cuda, cuda-fast"),
        ({"data": {"source": "web", "seed": 0}}, "key 'data.source': 'web' is unknown; known are phantom, files"),
        ({"data": {"source": "files", "seed": 0}}, "key 'data.root': is missing"),
        ({"data": {"source": "files", "seed": 0, "root": 3}}, "key 'data.root': must be a text, not 3"),
        (
            {"data": {"source": "files", "seed": 0, "root": "x", "size": 3}},
            "key 'data.size': is unknown; known are largest_mvoxel, root, seed, source",
        ),
        ({"setups": ["../ms.yaml"]}, "'../ms.yaml' leaves its folder"),
        ({"setups": ["config/setups/xx.yaml"]}, "config/setups/xx.yaml: cannot be read"),
        ({"seeds": [1.0]}, "key 'seeds.0': must be a whole number, not 1.0"),
        ({"split": {"validation": float("nan"), "test": 0.1}}, "key 'split.validation': must be"),
        ({"data": None}, "key 'data': must be a mapping of keys to values, not None"),
        ({"data": {"root": "x"}}, "key 'data.source': is missing"),
        ({"run": "../demo"}, "key 'run': '../demo' is no valid name"),
        ({"run": "demo\n"}, "key 'run': 'demo\\n' is no valid name"),
        ({"run": "a" * 61}, "is no valid name (lower-case letters, digits and _, starting with a letter, at most 60)"),
    ],
)
def test_bad_run_is_told_in_one_sentence(project, changes, message):
    with pytest.raises(FedFactoryError) as error:
        load(project, **changes)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_key_is_named(project):
    values = read_run([project / "config/demo.yaml"], project)
    del values["split"]["test"]
    with pytest.raises(FedFactoryError, match=r"config/demo.yaml: key 'split.test': is missing"):
        load_config(values, [project / "config/demo.yaml"], project)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("  ge:\n", "  siemens:\n", "config/setups/ms.yaml: is not valid YAML: the key 'siemens' is given twice"),
        ("  ge:\n", "  factory:\n", "the name 'factory' is reserved"),
        ("  ge:\n", "  nnunet_plan:\n", "the name 'nnunet_plan' is reserved"),
        ("  ge:\n", "  GE:\n", "key 'clients': 'GE' is no valid name"),
        ("source: philips", "source: toshiba", "'toshiba' is no client; known are siemens, philips, ge, canon"),
        ("figure_target: siemens", "figure_target: philips", "'philips' is no scored target"),
        ("{LV: 1, MYO: 2, RV: 3}", "{LV: 1, MYO: 1, RV: 3}", "the value 1 stands for two classes"),
        ("{LV: 1, MYO: 2, RV: 3}", "{LV: 1, MYO: 2}", "must name exactly the classes LV, MYO, RV"),
        (
            "federated: true",
            "federated: maybe",
            "key 'clients.siemens.federated': must be true or false, not 'maybe'",
        ),
        ("adapter: mnms", "adapter: mnmz", "key 'clients.siemens.adapter': 'mnmz' is unknown; known are bbbc038"),
        ("adapter: mnms", 'adapter: "$(x)mnms"', "key 'clients.siemens.adapter': '$(x)mnms' is unknown; known are"),
        ("LV: 1, MYO", "LV: '1', MYO", ".labels.LV': must be a whole number or a list, not '1'"),
        (
            "adapter: mnms",
            "adaptor: mnms",
            "key 'clients.siemens.adaptor': is unknown; known are adapter, federated, label, labels, options, planar",
        ),
    ],
)
def test_bad_setup_is_told_in_one_sentence(project, old, new, message):
    edit(project, "setups/ms.yaml", old, new)
    with pytest.raises(FedFactoryError) as error:
        load(project)
    assert message in str(error.value)
    assert "ms.yaml" in str(error.value)


def test_raw_folder_may_not_leave_the_data_root(project):
    edit(project, "setups/ms.yaml", "raw: MnMs", "raw: ../secret")
    with pytest.raises(FedFactoryError, match=r"clients.siemens.raw: '../secret' leaves its folder"):
        load(project, data={"source": "files", "seed": 0, "root": "data"})
    edit(project, "setups/ms.yaml", "raw: ../secret", "raw: MnMs")
    config = load(project, data={"source": "files", "seed": 0, "root": "data"})
    assert config.raw_folder("ms", "ge") == Path("data/MnMs")


@pytest.mark.parametrize(("name", "rules"), [("data", "nnunet"), ("mine", "clients"), ("mine", "nope")])
def test_a_method_needs_a_free_name_and_a_rule_file(project, name, rules):
    methods = read_run([project / "config/demo.yaml"], project)["methods"]
    with pytest.raises(FedFactoryError, match=f"config/demo.yaml: key 'methods.{name}"):
        load(project, methods={**methods, name: {**methods["nnunet"], "rules": rules}})


def test_a_site_without_labels_is_no_column(project):
    edit(project, "setups/ms.yaml", "    label: Canon\n", "    label: Canon\n    scored: false\n")
    assert load(project).setups["ms"].targets == ("siemens", "ge")


def test_same_setup_twice(project):
    (project / "config/setups/copy.yaml").write_text((project / "config/setups/ms.yaml").read_text())
    with pytest.raises(FedFactoryError, match="two files describe the setup 'ms'"):
        load(project, setups=["config/setups/ms.yaml", "config/setups/copy.yaml"])


def test_values_are_not_changed_by_loading(project):
    values = yaml.safe_load((project / "config/demo.yaml").read_text())
    before = copy.deepcopy(values)
    load_config(values, [], project)
    assert values == before


def test_a_file_stands_over_its_base_and_that_over_its_own(project):
    mine = project / "mine.yaml"
    mine.write_text("base: config/demo.yaml\nrun: mine\nseeds: [3, 4]\nmethods: {sam: null, medsam: null}\n")
    config = load_config(yaml.safe_load(mine.read_text()), [mine], project)
    demo = load(project)
    assert (config.run, config.seeds, config.few_shot) == ("mine", (3, 4), demo.few_shot)
    assert list(config.methods) == [name for name in demo.methods if name not in ("sam", "medsam")]
    assert config.methods["ours"] == demo.methods["ours"]


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("../base.yaml", "mine.yaml: key 'base': '../base.yaml' leaves its folder"),
        ("/etc/base.yaml", "mine.yaml: key 'base': '/etc/base.yaml' leaves its folder"),
        ("config/bass.yaml", "config/bass.yaml: cannot be read"),
        ("[a]", "mine.yaml: key 'base': must be the path of a file, not ['a']"),
        ("config/circle.yaml", "config/circle.yaml: key 'base': 'config/circle.yaml' is a base of itself"),
        ("config/twice.yaml", "config/twice.yaml: is not valid YAML: the key 'seeds' is given twice"),
        ("config/list.yaml", "config/list.yaml: must hold a mapping"),
    ],
)
def test_a_base_that_cannot_be(project, base, message):
    (project / "config/circle.yaml").write_text("base: config/circle.yaml\n")
    (project / "config/twice.yaml").write_text("seeds: [0]\nseeds: [1]\n")
    (project / "config/list.yaml").write_text("[seeds]\n")
    mine = project / "mine.yaml"
    mine.write_text(f"base: {base}\nrun: mine\n")
    with pytest.raises(FedFactoryError) as error:
        load_config(yaml.safe_load(mine.read_text()), [mine], project)
    assert str(error.value).startswith(message)


def test_a_complete_file_needs_no_base(project):
    values = read_run([project / "config/demo.yaml"], project)
    (project / "config/base.yaml").unlink()
    assert "base" not in values
    assert load_config(values, [], project).methods == load_config(values, [], ROOT).methods


def test_schema_and_tables_are_those_of_the_models():
    advice = "run: python -m fedfactory.config.document"
    assert (ROOT / document.SCHEMA).read_text() == document.schema(), advice
    page = (ROOT / document.TABLES).read_text()
    assert document.tables(page) == page, advice


def test_the_tables_hold_nested_keys_and_their_ranges():
    factory, ours = (document.table(document.models()[name]) for name in ("factory", "ours"))
    assert re.search(r"^\| `network.client_zoom` \| true or false \| .*magnification", factory, re.M)
    assert "| `training.mixing` | number ≥ 0, ≤ 1 |" in factory
    assert "| `synthetic.tolerance` | number > 0 or null |" in ours
    assert "| `source.schedule` | as `target.schedule` |" in ours


def test_a_key_that_nobody_explains_is_found():
    @dataclass(frozen=True)
    class Parameters:
        """Of a method.

        Attributes:
            width: channels.
        """

        width: int
        depth: int

    with pytest.raises(FedFactoryError, match="does not explain 'depth'"):
        document.explained(Parameters)


@pytest.mark.parametrize("name", ["demo", "paper", "test"])
def test_an_overlay_says_only_what_differs(name):
    base = read_yaml(ROOT / "config/base.yaml", "base")
    assert not list(repeated(read_yaml(ROOT / f"config/{name}.yaml", name), base))


def repeated(values, base):
    """Keys whose value is that of the base, whether or not other keys beside them differ."""
    for key in values.keys() & base.keys():
        if isinstance(values[key], dict) and isinstance(base[key], dict):
            yield from (f"{key}.{below}" for below in repeated(values[key], base[key]))
        elif values[key] == base[key]:
            yield key
