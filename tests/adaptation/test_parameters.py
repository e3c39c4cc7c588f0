"""The configuration of the adaptation methods, and which job gets what."""

import copy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from fedfactory.config.files import read_run
from fedfactory.config.parameters import read
from fedfactory.config.run import load_config
from fedfactory.errors import FedFactoryError
from fedfactory.methods.ours.parameters import OursParameters
from fedfactory.orchestration.declared import methods
from tests.conftest import ROOT

KEY = "methods.ours.parameters"


@pytest.fixture
def values():
    return read_run([ROOT / "config/demo.yaml"], ROOT)


def loaded(values):
    return load_config(values, [], ROOT)


def wild(method: str, client: str, setup: str = "mm"):
    return SimpleNamespace(setup=setup, client=client, method=method, seed="0")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p["target"].pop("start"), "key 'methods.ours.parameters.target.start': is missing"),
        (lambda p: p["target"].update(strat=1), "parameters.target.strat': is unknown; known are batch, branch_trains"),
        (lambda p: p["source"]["schedule"].update(steps=0), "source.schedule.steps': must be at least 1, not 0"),
        (lambda p: p["source"]["schedule"].update(ramp=1.5), "source.schedule.ramp': must be at most 1, not 1.5"),
        (lambda p: p["source"]["schedule"].update(steps="many"), "schedule.steps': must be a whole number, not 'many'"),
        (lambda p: p["source"]["schedule"].update(clip=float("inf")), "source.schedule.clip'"),
        (lambda p: p["target"].update(validation="half"), "target.validation': must be 'full' or 'none', not 'half'"),
        (lambda p: p["source"]["encoder"].update(image_size=36), "encoder.image_size': 36 cannot be halved 4 times"),
        (lambda p: p["source"]["encoder"].update(blocks=[1]), "encoder.channels': give at least four stages"),
        (lambda p: p["source"].update(perceptual={"name": "vgg"}), "source.perceptual.name'"),
        (lambda p: p["source"].update(perceptual={"name": "lpips-alexnet", "file": "x"}), "source.perceptual.file'"),
        (
            lambda p: p["source"]["encoder"].update(blocks=[1, 0, 1, 1, 1]),
            "blocks': only the first stage may have none",
        ),
        (lambda p: p.pop("synthetic"), "parameters.synthetic': belongs to a source branch of its own"),
        (
            lambda p: p["target"].update(
                source_samples="real", batch={"source": 1, "labelled": 1, "unlabelled": 0, "pairs": 1}
            ),
            "batch.pairs': must be 0 with real source samples",
        ),
        (
            lambda p: p["target"].update(labelled_slices=0, batch={"source": 1, "labelled": 0, "unlabelled": 0}),
            "target.batch': holds no image of the target",
        ),
        (lambda p: p.update(base="ours"), "give either 'source' .* or 'base'"),
        (lambda p: p["target"]["batch"].update(labelled=0), "batch.labelled': every batch holds at least one slice"),
        (lambda p: p["target"].update(labelled_slices=0), "and none where 'labelled_slices' is 0"),
    ],
)
def test_bad_parameters_name_their_key(values, change, message):
    parameters = values["methods"]["ours"]["parameters"]
    parameters.pop("setups", None)
    change(parameters)
    with pytest.raises(FedFactoryError, match=message):
        read(OursParameters, parameters, KEY)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v["methods"]["ours_paired"]["parameters"].update(base="nnunet"), "'nnunet' is no adaptation method"),
        (lambda v: v["methods"]["ours"].update(centralised=True), "centralised if, and only if"),
        (lambda v: v["methods"]["ours"]["parameters"].update(setups={"mx": {}}), "setups.mx': there is no such setup"),
        (
            lambda v: v["methods"]["ours"]["parameters"].update(setups=None),
            "setups': must hold a mapping for each setup",
        ),
        (
            lambda v: v["methods"]["ours"]["parameters"].update(setups={"mo": None}),
            "must hold a mapping for each setup",
        ),
        (
            lambda v: v["methods"]["ours_paired"]["parameters"]["setups"]["mo"].update(base="x"),
            "base': must be the same",
        ),
        (lambda v: v.pop("factory"), "the run has none; add the section 'factory'"),
    ],
)
def test_what_does_not_fit_together(values, change, message):
    change(values)
    with pytest.raises(FedFactoryError, match=message):
        methods()["ours"].open(loaded(values), ROOT)


def test_a_message_names_the_setup_whose_own_value_is_wrong(values):
    values["methods"]["ours"]["parameters"]["setups"]["mo"]["target"]["copies"] = 0
    with pytest.raises(FedFactoryError, match="setup mo: key 'methods.ours.parameters.target.copies': must be at"):
        methods()["ours"].open(loaded(values), ROOT)


def test_a_setup_may_differ(values):
    parameters = values["methods"]["ours"]["parameters"]
    parameters["setups"] = {"mo": {"source": {"schedule": {"steps": 11}}}}
    cells = methods()["ours"].open(loaded(values), ROOT)
    steps = {setup: p.source.schedule.steps for setup, p in cells.parameters["ours"].items()}
    assert steps["mo"] == 11 and steps["ms"] == parameters["source"]["schedule"]["steps"] != 11
    own = copy.deepcopy(cells.parameters["ours"]["mo"].source.schedule)
    assert own.encoder_rate == cells.parameters["ours"]["ms"].source.schedule.encoder_rate


def test_a_method_may_be_like_another(values):
    values["methods"]["mine"] = {
        **values["methods"]["ours"],
        "parameters": {"like": "ours", "base": "ours", "target": {"weights": {"cycle": 0}}},
    }
    cells = methods()["ours"].open(loaded(values), ROOT)
    assert cells.sources == ["ours"] and cells.base("mine") == "ours"
    assert cells.seed_name(wild("mine", "ct")) == cells.seed_name(wild("ours", "ct")) == "ours", "the same draws"
    for setup in ("mm", "mo"):
        mine, ours = (cells.parameters[name][setup].target for name in ("mine", "ours"))
        assert mine == replace(ours, weights=replace(ours.weights, cycle=0.0)), "also what differs for a setup"
    values["methods"]["mine"]["parameters"]["like"] = "nnunet"
    with pytest.raises(FedFactoryError, match="mine.parameters.like': 'nnunet' is no row of the same method"):
        methods()["ours"].open(loaded(values), ROOT)


def test_every_job_gets_what_the_source_shares_and_its_own(values):
    cells = methods()["ours"].open(loaded(values), ROOT)
    for method in ("ours", "ours_paired"):
        assert cells.shared(wild(method, "ct"), "branch") == "results/demo/mm/pdw/ours/seed0/branch"
        assert cells.look(wild(method, "ct")) == [] and cells.centralised(wild(method, "ct")) == []
        assert cells.look(wild(method, "t2w")) == ["results/demo/mm/t2w/ours/seed0/look"], "one look for both methods"
        assert cells.with_model(wild(method, "t2w")) == ["results/demo/mm/factory/seed0/model"]


def test_only_a_declared_control_gets_the_sources_store(values):
    own = {"source_samples": "real", "batch": {"pairs": 0}}
    control = {**values["methods"]["ours_paired"], "parameters": {"like": "ours_paired", "target": own}}
    values["methods"]["upper"] = {**control, "centralised": True}
    cells = methods()["ours"].open(loaded(values), ROOT)
    assert cells.centralised(wild("upper", "ct")) == ["results/demo/mm/pdw/data"]
    values["methods"]["upper"]["centralised"] = False
    with pytest.raises(FedFactoryError, match="methods.upper.centralised"):
        methods()["ours"].open(loaded(values), ROOT)


def test_the_source_must_be_one_of_the_factorys_clients(values, tmp_path: Path):
    text = (ROOT / "config/setups/mm.yaml").read_text()
    assert "  pdw:\n    label: PDw\n    federated: true" in text
    config = loaded(values)
    setup = config.setups["mm"]
    object.__setattr__(setup.clients["pdw"], "federated", False)
    with pytest.raises(FedFactoryError, match="the source pdw must be federated"):
        methods()["ours"].open(config, ROOT)
