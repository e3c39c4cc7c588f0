import json
from types import SimpleNamespace

import pytest

from fedfactory.config.files import read_run
from fedfactory.config.run import load_config
from fedfactory.errors import FedFactoryError
from fedfactory.methods.feddg.cells import FedDGCells
from fedfactory.methods.fedmedgan.cells import FedMedGanCells
from fedfactory.methods.nnunet.cells import NnunetCells
from fedfactory.methods.sam.cells import SamCells
from fedfactory.methods.universeg.cells import UniverSegCells
from fedfactory.orchestration import jobs
from tests.conftest import ROOT


def config(table="table1", **methods):
    file = ROOT / "config/demo.yaml"
    values = read_run([file], ROOT) | {"table": table}
    for name, changes in methods.items():
        values["methods"][name] = {**values["methods"][name], **changes}
    return load_config(values, [file], ROOT)


def test_models_come_from_the_source_unless_fine_tuned():
    cells = NnunetCells(config())
    cell = SimpleNamespace(setup="mm", client="pet", method="nnunet_daug", seed="0")
    assert cells.model(cell) == "results/demo/mm/pdw/nnunet_daug/seed0/model"
    cell.method = "nnunet_tl"
    assert cells.model(cell) == "results/demo/mm/pet/nnunet_tl/seed0/model"
    assert cells.base_model(cell) == "results/demo/mm/pdw/nnunet/seed0/model"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"nnunet": {"parameters": {"epoch": 3}}},
            "methods.nnunet.parameters.epoch': is unknown; known are base, batch_size",
        ),
        ({"nnunet_tl": {"uses_mt": False}}, "methods.nnunet_tl.uses_mt': an nnU-Net uses M_t if, and only if"),
    ],
)
def test_bad_method_names_the_key_and_the_file(changes, message):
    with pytest.raises(FedFactoryError) as error:
        NnunetCells(config(**changes))
    assert message in str(error.value)
    assert str(error.value).startswith("config/demo.yaml")


def test_base_must_be_a_source_model():
    parameters = dict(config().methods["nnunet_tl"].parameters)
    with pytest.raises(FedFactoryError, match="base: 'vnet' is no nnU-Net trained on the source; known"):
        NnunetCells(config(nnunet_tl={"parameters": {**parameters, "base": "vnet"}}))


def test_unknown_cell_is_answered_with_the_closest_one():
    with pytest.raises(FedFactoryError, match="Did you mean results/demo/ms/ge/nnunet/seed0/scores.csv"):
        jobs.refuse_unknown_cell(config(), "ms/gee/nnunet/seed0")


PUBLISHED = {"pretraining": None, "architecture": None}


def changed(method, **parameters):
    """The demo with other parameters of a method; a value of None removes one."""
    values = {**config().methods[method].parameters, **parameters}
    return {method: {"parameters": {key: value for key, value in values.items() if value is not None}}}


def test_foundation_models_are_made_or_checked():
    cell = SimpleNamespace(setup="mm", client="pet", method="medsam", seed="0")
    tiny = SamCells(config(), ROOT)
    assert tiny.start(cell) == ["results/demo/foundation/sam"]
    assert tiny.weights(cell) == tiny.path(cell) == "results/demo/foundation/medsam"
    published = changed("medsam", weights="sam-vit-b", normalisation="imagenet", pretraining=None, start=None)
    cells = SamCells(config(**published), ROOT)
    assert cells.pretrained == ["sam"] and cells.start(cell) == []
    assert cells.path(cell) == "weights/sam_vit_b_01ec64.pth"
    assert cells.weights(cell) == "results/demo/weights/sam-vit-b.json", "it waits for the check of the file"
    cell.method = "universeg"
    own = UniverSegCells(config(), ROOT)
    assert own.weights(cell) == "results/demo/foundation/universeg" and own.pretrained == ["universeg"]


@pytest.mark.parametrize(
    ("cells", "changes", "message"),
    [
        (SamCells, {"sam": {"uses_mt": False}}, "methods.sam.uses_mt': the decoder is fine-tuned on M_t"),
        (SamCells, changed("medsam", start="medsam"), "start': 'medsam' is no model that .* known are sam"),
        (SamCells, changed("sam", prompt="oracle_box"), "methods.sam.parameters.prompt': 'oracle_box' is drawn from"),
        (
            SamCells,
            changed("sam", weights="sam-vit-h", normalisation="unit", **PUBLISHED),
            "'sam-vit-h' is not in",
        ),
        (
            SamCells,
            changed("sam", weights="sam-vit-b", **PUBLISHED),
            "normalisation' is missing",
        ),
        (UniverSegCells, {"universeg": {"uses_mt": False}}, "methods.universeg.uses_mt': .* support set is M_t"),
        (UniverSegCells, changed("universeg", weights="universeg"), "key 'methods.universeg.parameters"),
    ],
)
def test_bad_foundation_models_name_the_key(cells, changes, message):
    with pytest.raises(FedFactoryError, match=message):
        cells(config(**changes), ROOT)


def test_an_oracle_stands_in_another_table():
    cells = SamCells(config("bounds", **changed("sam", prompt="oracle_box")), ROOT)
    assert cells.oracles == ["sam"]


def test_federations_know_who_takes_part():
    cell = SimpleNamespace(setup="mm", client="pet", seed="0")
    cell.method = "feddg"
    assert FedDGCells(config()).inputs(cell) == [f"results/demo/mm/{name}/data" for name in ("pdw", "ct", "t2w")]
    assert FedDGCells(config()).size(cell) == 32 and "setups" not in json.loads(
        jobs.method_parameters(config(), "feddg", "mm")
    )
    vessels = SimpleNamespace(setup="mo", client="ixi", seed="0", method="feddg")
    assert (
        FedDGCells(config()).size(vessels)
        == json.loads(jobs.method_parameters(config(), "feddg", "mo"))["image_size"]
        == 64
    )
    cell.method = "fedmedgan"
    cells = FedMedGanCells(config())
    assert cells.inputs(cell) == [f"results/demo/mm/{name}/data" for name in ("pdw", "pet")]
    assert cells.source_model(cell) == "results/demo/mm/pdw/nnunet/seed0/model"
    with pytest.raises(FedFactoryError, match="base': 'nnunet_tl' is no nnU-Net trained on the source; known are nnu"):
        FedMedGanCells(config(**changed("fedmedgan", base="nnunet_tl")))


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
        FedDGCells(config(**changed("feddg", **changes)))
