import re
from dataclasses import replace
from types import SimpleNamespace

import pytest

from fedfactory.config.files import read_run
from fedfactory.config.run import load_config
from fedfactory.errors import FedFactoryError
from fedfactory.methods.cells import Cells, Methods
from fedfactory.orchestration.declared import methods
from fedfactory.orchestration.labels import Labels
from fedfactory.orchestration.wildcards import refuse_unknown_cell
from tests.conftest import ROOT


def config(table="table1", **methods):
    file = ROOT / "config/demo.yaml"
    values = read_run([file], ROOT) | {"table": table}
    for name, changes in methods.items():
        values["methods"][name] = {**values["methods"].get(name, {}), **changes}
    return load_config(values, [file], ROOT)


def config_entry():
    return {"label": "x", "rules": "universeg", "centralised": False, "parameters": {}}


def cells(method: str, run=None) -> Cells:
    return methods()[method].open(run or config(), ROOT)


@pytest.mark.parametrize("method", ["vnet", "nnunet_tl"])
def test_the_method_of_the_gap_table_sees_no_label_of_a_target(method):
    message = f"gap_method': '{method}' is no method of this run without M_t; known are nnunet, nnunet_daug"
    with pytest.raises(FedFactoryError, match=message):
        Methods(replace(config(), gap_method=method), ROOT)


def test_models_come_from_the_source_unless_fine_tuned():
    own = cells("nnunet")
    cell = SimpleNamespace(setup="mm", client="pet", method="nnunet_daug", seed="0")
    assert own.model(cell) == "results/demo/mm/pdw/nnunet_daug/seed0/model"
    cell.method = "nnunet_tl"
    assert own.model(cell) == "results/demo/mm/pet/nnunet_tl/seed0/model"
    assert own.base_model(cell) == "results/demo/mm/pdw/nnunet/seed0/model"


def test_bounds_are_trained_on_more_labels():
    run = config()
    own, everything = cells("nnunet", run), Methods(run, ROOT)
    cell = SimpleNamespace(setup="mm", client="pet", method="all_labels", seed="0")
    assert own.model(cell) == "results/demo/mm/pet/all_labels/seed0/model"
    assert (own.at_target, own.pooled, own.scratch) == (
        ["all_labels"],
        ["pooled"],
        ["nnunet", "nnunet_daug", "nnunet_gin", "nnunet_synthseg"],
    )
    assert own.planned == {client for setup in run.setups.values() for client in setup.clients}
    cell.method = "pooled"
    assert own.model(cell) == "results/demo/mm/pdw/pooled/seed0/model"
    assert own.stores(cell) == [f"results/demo/mm/{name}/data" for name in ("pdw", "pet", "ct", "t2w")]
    averaged = cells("fedavg", run)
    cell.method = "fedavg"
    assert averaged.model(cell) == "results/demo/mm/pdw/fedavg/seed0/model"
    assert averaged.stores(cell) == own.stores(cell)
    assert {everything.labels[name]["mm"] for name in ("all_labels", "pooled", "fedavg")} == {Labels(training=True)}
    assert everything.labels["only_mt"]["mm"] == everything.labels["mean_mask"]["mo"] == Labels(few_shot=None)
    bounds = [name for name, row in run.methods.items() if row.bound]
    assert {"mean_mask", "only_mt", "all_labels", "fedavg", "pooled"} <= set(bounds)
    assert list(run.methods)[-len(bounds) :] == bounds, "below all other rows"
    with pytest.raises(FedFactoryError, match="methods.pooled.centralised': an nnU-Net is centralised if"):
        cells("nnunet", config(pooled={"centralised": False}))


def test_both_protocols_come_from_one_training():
    run = config()
    everything = Methods(run, ROOT)
    cell = SimpleNamespace(setup="mm", client="pet", method="ours", seed="0")
    strict = SimpleNamespace(**{**vars(cell), "method": "ours_strict"})
    assert everything.model(cell) == everything.model(strict) == "results/demo/mm/pet/ours/seed0/model"
    assert everything.choice(cell) == ["results/demo/mm/pet/ours/seed0/choice.csv"] and everything.choice(strict) == []
    known = Labels(few_shot=None, validation=True)
    assert everything.labels["ours"]["mm"] == known
    # The job that chooses and the counts of the scores know of validation volumes, no training and no strict cell does.
    assert Labels.from_json(everything.labels_of(cell)) == known
    for text in (everything.labels_of(strict), everything.labels_json(cell), everything.labels_json(strict)):
        assert Labels.from_json(text) == Labels(few_shot=None)
    assert everything.strict()[:5] == ["nnunet", "nnunet_daug", "nnunet_tl_strict", "fedmedgan", "feddg"]
    assert everything.strict()[-5:] == list(run.methods)[-5:], "bounds stand in both tables"
    assert {name for _, name in everything.chosen} == set(run.strict.values())


def test_a_row_without_a_strict_form_is_left_out_of_the_strict_table():
    left_out = Methods(config(sam={"strict": False}), ROOT)
    assert "sam" not in left_out.strict() and "sam_strict" not in left_out.strict() and ("mo", "sam") in left_out.chosen


def test_a_protocol_that_a_method_cannot_follow_is_refused(monkeypatch):
    with pytest.raises(FedFactoryError, match="methods.nnunet.strict': the method asks no validation volume anything"):
        Methods(config(nnunet={"strict": True}), ROOT)
    monkeypatch.setitem(methods(), "sam", replace(methods()["sam"], choose=""))
    message = "methods.sam.strict': the method cannot follow the strict protocol: its training itself reads labels"
    with pytest.raises(FedFactoryError, match=message):
        Methods(config(), ROOT)
    with pytest.raises(
        FedFactoryError, match="methods.ours_strict': is the strict cell of 'ours'; choose another name"
    ):
        config(ours={}, ours_strict=config_entry())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"nnunet": {"parameters": {"epoch": 3}}},
            "methods.nnunet.parameters.epoch': is unknown; known are base, batch_size",
        ),
    ],
)
def test_bad_method_names_the_key_and_the_file(changes, message):
    with pytest.raises(FedFactoryError) as error:
        cells("nnunet", config(**changes))
    assert message in str(error.value)
    assert str(error.value).startswith("config/demo.yaml")


def test_base_must_be_a_source_model():
    parameters = dict(config().methods["nnunet_tl"].parameters)
    with pytest.raises(FedFactoryError, match="base': 'vnet' is no nnU-Net trained on the source; known"):
        cells("nnunet", config(nnunet_tl={"parameters": {**parameters, "base": "vnet"}}))


def test_unknown_cell_is_answered_with_the_closest_one():
    with pytest.raises(FedFactoryError, match="Did you mean results/demo/ms/ge/nnunet/seed0/scores.csv"):
        refuse_unknown_cell(config(), "ms/gee/nnunet/seed0")


PUBLISHED = {"pretraining": None, "architecture": None}


def changed(method, **parameters):
    """The demo with other parameters of a method; a value of None removes one."""
    values = {**config().methods[method].parameters, **parameters}
    return {method: {"parameters": {key: value for key, value in values.items() if value is not None}}}


def test_foundation_models_are_made_or_checked():
    cell = SimpleNamespace(setup="mm", client="pet", method="medsam", seed="0")
    tiny = cells("sam")
    assert tiny.start(cell) == ["results/demo/foundation/sam"]
    assert tiny.weights(cell) == tiny.record(cell) == "results/demo/foundation/medsam"
    published = changed("medsam", weights="sam-vit-b", normalisation="imagenet", pretraining=None, start=None)
    own = cells("sam", config(**published))
    assert own.pretrained == ["sam"] and own.start(cell) == []
    assert own.with_model(cell) == [f"results/demo/weights/sam-vit-b.{end}" for end in ("json", "pt")]
    cell.method = "universeg"
    own = cells("universeg")
    assert own.weights(cell) == "results/demo/foundation/universeg" and own.pretrained == ["universeg"]


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        ("sam", changed("medsam", start="medsam"), "start': 'medsam' is no model that .* known are sam"),
        ("sam", changed("sam", prompt="oracle_box"), "methods.sam.parameters.prompt': 'oracle_box' is drawn from"),
        (
            "sam",
            changed("sam", weights="sam-vit-h", normalisation="unit", **PUBLISHED),
            "'sam-vit-h' is not in",
        ),
        (
            "sam",
            changed("sam", weights="sam-vit-b", **PUBLISHED),
            "normalisation': is missing",
        ),
        (
            "sam",
            changed("sam", setups={"mo": {"prompt": "grid"}}),
            "sam.parameters.setups': one model serves all setups",
        ),
        ("universeg", changed("universeg", weights="universeg"), "key 'methods.universeg.parameters"),
    ],
)
def test_bad_foundation_models_name_the_key(method, changes, message):
    with pytest.raises(FedFactoryError, match=message):
        cells(method, config(**changes))


def test_an_oracle_stands_in_another_table():
    assert cells("sam", config("bounds", **changed("sam", prompt="oracle_box"))).oracles == ["sam"]


def test_federations_know_who_takes_part():
    cell = SimpleNamespace(setup="mm", client="pet", seed="0", method="feddg")
    own = cells("feddg")
    assert own.names(cell) == ["pdw", "ct", "t2w"]
    assert own.stores(cell) == [f"results/demo/mm/{name}/data" for name in own.names(cell)]
    assert own.size(cell) == 32 and "setups" not in own.values(cell)
    vessels = SimpleNamespace(setup="mo", client="ixi", seed="0", method="feddg")
    assert own.size(vessels) == own.values(vessels)["image_size"] == 64
    cell.method = "fedmedgan"
    own = cells("fedmedgan")
    assert own.stores(cell) == [f"results/demo/mm/{name}/data" for name in ("pdw", "pet")]
    assert own.with_model(cell) == ["results/demo/mm/pdw/nnunet/seed0/model"]
    with pytest.raises(FedFactoryError, match="base': 'nnunet_tl' is no nnU-Net trained on the source; known are nnu"):
        cells("fedmedgan", config(**changed("fedmedgan", base="nnunet_tl")))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 128}, "image_size': 128 pixels in setup ms are more than the 64 of the stores"),
        ({"features": [8] * 6}, "32 pixels in setup ms are .* too few for 6 resolutions"),
        ({"setups": {"heart": {}}}, "parameters.setups.heart': there is no such setup"),
        ({"setups": {"mo": 3}}, "parameters.setups': must hold a mapping for each setup"),
    ],
)
def test_bad_parameters_of_feddg_name_the_key(changes, message):
    with pytest.raises(FedFactoryError, match=message):
        cells("feddg", config(**changed("feddg", **changes)))


def test_every_declared_reference_names_something_and_every_rule_file_a_method():
    """A declaration is read without its method; what it names must be there all the same."""
    from fedfactory.orchestration.declared import load

    for method in methods().values():
        for reference in (method.parameters, method.cells, method.fit, method.choose, method.segmenter, method.also):
            assert not reference or callable(load(reference)), reference
    files = {file.stem for file in (ROOT / "rules/methods").glob("*.smk")}
    assert files <= set(methods())
    without = {"mean_mask", "selftraining"}
    assert set(Methods(config(), ROOT).cells) == {*files, *without}


def test_the_rules_of_a_method_are_those_that_it_declares():
    for name, method in methods().items():
        file = ROOT / f"rules/methods/{name}.smk"
        text = file.read_text() if file.is_file() else ""
        own = set(re.findall(r"^(?:use rule \w+ as|rule) (\w+)", text, re.M))
        assert own == {rule.name for rule in method.rules} - {"fit", "choose", "predict"}


def test_a_configuration_from_before_may_say_whether_a_row_sees_m_t():
    Methods(config(nnunet={"uses_mt": False}, nnunet_tl={"uses_mt": True}), ROOT)
    with pytest.raises(FedFactoryError, match="'methods.nnunet_tl.uses_mt': is false, and the method sees M_t"):
        Methods(config(nnunet_tl={"uses_mt": False}), ROOT)


def test_a_row_may_be_like_another_of_its_rules():
    def mine(rules: str, **parameters: object) -> Methods:
        entry = {"label": "x", "centralised": False, "rules": rules, "parameters": parameters}
        return Methods(config(mine=entry), ROOT)

    own = mine("nnunet", like="nnunet", randomisation="gin").cells["nnunet"]
    assert own.of("mine", "mm") == replace(own.of("nnunet", "mm"), randomisation="gin") and "mine" in own.scratch
    for like in ("mine", "nobody", ["nnunet"]):
        with pytest.raises(FedFactoryError, match="methods.mine.parameters.like': .* is no row of the same method"):
            mine("nnunet", like=like)
    with pytest.raises(FedFactoryError, match="methods.mine.parameters.like': give this row all of its parameters"):
        mine("universeg", like="universeg")


def test_a_bound_has_a_heading():
    message = "methods.only_mt.section': is missing: bounds stand in a part of their own"
    with pytest.raises(FedFactoryError, match=message):
        config(only_mt={"section": ""})
