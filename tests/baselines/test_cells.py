from types import SimpleNamespace

import pytest
import yaml

from fedfactory import jobs
from fedfactory.baselines.nnunet.cells import NnunetCells
from fedfactory.config import load_config
from fedfactory.errors import FedFactoryError
from tests.conftest import ROOT


def config(**methods):
    file = ROOT / "config/demo.yaml"
    values = yaml.safe_load(file.read_text())
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
            "methods.nnunet.parameters': unknown key 'epoch'",
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
