"""The 512-pixel model of config/paper.yaml trains: nothing at paper scale is untried but the length."""

from dataclasses import replace

import pytest
import torch

from fedfactory.factory.local_round import ClientImages, LocalState, local_round
from fedfactory.factory.networks import FactoryModel
from fedfactory.factory.plan import FactoryPlan
from tests.factory.test_plan import config


@pytest.mark.slow
def test_two_real_steps_of_the_papers_model():
    parameters = FactoryPlan(config("paper")).parameters["mm"]
    # One backward pass is a step of the paper's counting: R1, path length, then an ordinary one of each network.
    parameters = replace(parameters, federation=replace(parameters.federation, local_steps=4))
    # Half of its batch: networks and images are what is untried.
    parameters = replace(parameters, training=replace(parameters.training, batch=4))
    assert parameters.training.counting == "backward"
    torch.manual_seed(0)
    model = FactoryModel(parameters.network)
    state = LocalState(model, parameters.training)
    site = ClientImages(
        index=0,
        images=torch.rand(3, 1, 512, 512) * 2 - 1,
        positions=torch.tensor([0, 14, 28]),
        key=torch.nn.functional.normalize(torch.randn(768), dim=0),
    )
    before = {name: value.clone() for name, value in model.named_parameters()}
    losses = local_round(model, state, site, parameters, seed=0, round_number=0)
    assert {"r1", "path_length", "discriminator", "generator"} <= set(losses)
    assert all(torch.isfinite(torch.tensor(value)) for value in losses.values())
    assert state.passes == {"discriminator": 2, "generator": 2}
    after = dict(model.named_parameters())
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert all(torch.isfinite(value).all() for value in after.values())
    # What the first step leaves alone: strengths of the noise get no gradient from a path length at strength 0.
    assert len(moved) > 0.9 * len(before), sorted(set(before) - set(moved))
