"""One client's round: which passes run, what they change, and what they depend on."""

from dataclasses import replace

import pytest
import torch

from fedfactory.config.sentences import Misfit
from fedfactory.factory import local_round as local
from fedfactory.factory import losses
from fedfactory.factory.local_round import ClientImages, LocalState, local_round
from fedfactory.factory.networks import FactoryModel, Generator
from fedfactory.factory.server import initial_weights
from tests.federation.conftest import small_parameters


def site(index: int = 0, encode=None) -> ClientImages:
    stream = torch.Generator().manual_seed(index)
    return ClientImages(
        index=index,
        images=torch.rand(6, 1, 32, 32, generator=stream) * 2 - 1,
        positions=torch.arange(6) % 5,
        key=torch.randn(512, generator=stream),
        encode=encode,
    )


def trained(parameters, where: ClientImages, round_number: int = 0, seed: int = 1, state=None):
    model = FactoryModel(parameters.network)
    model.load_state_dict(initial_weights(parameters, 0))
    state = state or LocalState(model, parameters.training)
    losses = local_round(model, state, where, parameters, seed, round_number)
    return model.state_dict(), losses, state


def equal(first, second) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def test_a_round_depends_on_seed_round_and_client_only():
    parameters = small_parameters()
    first, _, _ = trained(parameters, site())
    torch.manual_seed(5)
    assert equal(first, trained(parameters, site())[0])
    for other in (dict(round_number=1), dict(seed=2)):
        assert not equal(first, trained(parameters, site(), **other)[0])
    assert not equal(first, trained(parameters, replace(site(), index=1))[0])


def test_a_pair_is_one_pass_of_each_network_and_what_is_due():
    _, losses, state = trained(small_parameters(local_steps=3), site())
    assert set(losses) == {"discriminator", "generator", "r1", "path_length", "augmentation"}
    assert state.passes == {"discriminator": 3, "generator": 3}
    # R1 and path length are due in every second pass here: two of three, each an update of its own.
    updates = {name: optimiser.state_dict()["state"][0]["step"] for name, optimiser in state.optimisers.items()}
    assert updates == {"discriminator": 3 + 2, "generator": 3 + 2}


@pytest.mark.parametrize("work", ["discriminate", "penalise", "generate", "regularise"])
def test_accumulated_gradients_are_the_mean_of_those_of_the_batches(work):
    parameters = small_parameters()
    parameters = replace(parameters, training=replace(parameters.training, augment_target=0.0))

    def gradients(accumulate: int, passes: int) -> list[dict[str, torch.Tensor]]:
        """Of every update, with a stream of random numbers that goes on from one to the next."""
        own = replace(parameters, training=replace(parameters.training, accumulate=accumulate))
        model = FactoryModel(own.network)
        model.load_state_dict(initial_weights(own, 0))
        state, seen = LocalState(model, own.training), []
        for optimiser in state.optimisers.values():
            optimiser.step = lambda: seen.append(
                {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
            )
        torch.manual_seed(3)
        for _ in range(passes):
            model.zero_grad(set_to_none=True)
            getattr(local._Step(model, state, site(), own, refine=False), work)()
        return seen

    first, second = gradients(accumulate=1, passes=2)
    (both,) = gradients(accumulate=2, passes=1)
    assert both.keys() == first.keys() and len({name.split(".")[0] for name in both}) == 1, "one network learns"
    for name, value in both.items():
        torch.testing.assert_close(value, (first[name] + second[name]) / 2, rtol=1e-3, atol=1e-6)


def test_one_generator_pass_serves_both_networks(monkeypatch):
    parameters = small_parameters(local_steps=2)
    shared = replace(parameters, training=replace(parameters.training, shared_fakes=True, path_length_every=0))
    own = replace(shared, training=replace(shared.training, shared_fakes=False))
    drawn, judged = [], []
    generate, judge = Generator.forward, losses.generator_loss

    def listen(generator, *args, **kwargs):
        drawn.append(generate(generator, *args, **kwargs))
        return drawn[-1]

    monkeypatch.setattr(Generator, "forward", listen)
    monkeypatch.setattr(losses, "generator_loss", lambda scores: judged.append(scores) or judge(scores))
    before = initial_weights(shared, 0)
    after, _, state = trained(shared, site())
    assert len(drawn) == 2 and all(images.requires_grad for images in drawn), "one a step, with its graph"
    assert state.passes == {"discriminator": 2, "generator": 2} and len(judged) == 2
    for network in ("generator", "discriminator"):
        assert any(not torch.equal(after[name], before[name]) for name in after if name.startswith(network))
    drawn.clear()
    trained(own, site())
    assert [images.requires_grad for images in drawn] == [False, True] * 2, "each network's pass its own"


@pytest.mark.parametrize("change", [{"counting": "backward"}, {"accumulate": 2}])
def test_one_generator_pass_needs_a_pair_of_one_batch(change):
    with pytest.raises(Misfit, match="one generator pass serves a pair of one batch"):
        replace(small_parameters().training, shared_fakes=True, **change)


def test_counting_backward_passes_replaces_ordinary_ones():
    parameters = small_parameters(local_steps=6)
    parameters = replace(parameters, training=replace(parameters.training, counting="backward"))
    _, _, state = trained(parameters, site())
    updates = {name: optimiser.state_dict()["state"][0]["step"] for name, optimiser in state.optimisers.items()}
    assert updates == {"discriminator": 3, "generator": 3}, "six passes in all"


def test_lazy_passes_come_due_over_short_rounds():
    parameters = small_parameters(rounds=6, local_steps=1)
    parameters = replace(parameters, training=replace(parameters.training, r1_every=3))
    state, due = None, []
    for number in range(6):
        _, losses, state = trained(parameters, site(), round_number=number, state=state)
        due.append("r1" in losses)
    assert due == [True, False, False, True, False, False]


def test_without_persistence_a_round_knows_nothing_of_those_before():
    """Optimisers, augmentation, mean path length and the count of passes: as at a client that has just joined."""
    parameters = small_parameters(persistent_optimisers=False, local_steps=3)
    _, _, state = trained(parameters, site())
    assert state.passes == {"discriminator": 3, "generator": 3} and state.augmentation.sign != 0 and state.path_mean > 0
    assert state.state_dict(optimisers=False)["optimisers"] == {}
    later, losses, _ = trained(parameters, site(), round_number=1, state=state)
    fresh, fresh_losses, other = trained(parameters, site(), round_number=1)
    assert losses == fresh_losses and all(torch.equal(later[name], fresh[name]) for name in fresh)
    assert state.state_dict(optimisers=False) == other.state_dict(optimisers=False)


def test_state_survives_saving(tmp_path):
    parameters = small_parameters()
    weights, _, state = trained(parameters, site())
    torch.save(state.state_dict(), tmp_path / "state.pt")
    model = FactoryModel(parameters.network)
    copy = LocalState(model, parameters.training)
    copy.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    results = []
    for each in (state, copy):
        model.load_state_dict(weights)
        # An optimiser belongs to the parameters it was made for.
        fresh = LocalState(model, parameters.training)
        fresh.load_state_dict(each.state_dict())
        local_round(model, fresh, site(), parameters, 1, 1)
        results.append({name: value.clone() for name, value in model.state_dict().items()})
    assert equal(*results)


def test_refinement_moves_images_towards_the_key():
    torch.manual_seed(0)
    projection = torch.randn(1024, 512)

    def encode(images):
        return torch.nn.functional.normalize(images.flatten(1) @ projection, dim=1)

    parameters = small_parameters(rounds=1, refinement_rounds=9, refinement_steps=25)
    strong = replace(parameters.training, refinement_weight=1000.0, augment_target=0.0, batch=4, learning_rate=0.01)
    parameters = replace(parameters, training=strong)
    with pytest.raises(ValueError, match="encoder"):
        trained(parameters, site(), round_number=1)
    where = site(encode=encode)
    assert "refinement" not in trained(parameters, where, round_number=0)[1]
    model = FactoryModel(parameters.network)
    model.load_state_dict(initial_weights(parameters, 0))
    state = LocalState(model, parameters.training)
    distances = [local_round(model, state, where, parameters, 1, number)["refinement"] for number in (1, 2, 3)]
    assert distances[2] < distances[1] < distances[0]


def test_lazy_passes_count_as_often_as_they_are_left_out(monkeypatch):
    """R1 by gamma / 2, both by the number of passes between two of them; Adam by k / (k + 1)."""
    parameters = small_parameters()
    training = replace(parameters.training, r1=3.0, r1_every=16, path_length=2.0, path_length_every=4)
    parameters = replace(parameters, training=training)
    model = FactoryModel(parameters.network)
    state = LocalState(model, training)
    groups = {name: optimiser.param_groups[0] for name, optimiser in state.optimisers.items()}
    for name, ratio in (("discriminator", 16 / 17), ("generator", 4 / 5)):
        assert groups[name]["lr"] == pytest.approx(training.learning_rate * ratio)
        assert groups[name]["betas"] == pytest.approx((0.0, 0.99**ratio))
    applied = []
    backward = torch.Tensor.backward
    monkeypatch.setattr(torch.Tensor, "backward", lambda loss: (applied.append(float(loss.detach())), backward(loss)))
    found = local_round(model, state, site(), parameters, 1, 0)
    # The passes of one pair: D, R1, G, path length.
    assert applied[1] == pytest.approx(3.0 / 2 * 16 * found["r1"], rel=1e-5)
    assert applied[3] == pytest.approx(2.0 * 4 * found["path_length"], rel=1e-5)


def test_each_weighting_sees_the_key_in_its_share_of_the_passes():
    parameters = small_parameters()
    for weighting, share in (("mean", 1.0), ("key_dominant", 0.5), ("label", 0.0)):
        network = replace(parameters.network, weighting=weighting)
        step = local._Step(None, None, None, replace(parameters, network=network), refine=False)
        torch.manual_seed(0)
        assert sum(step._use_key() for _ in range(1000)) / 1000 == pytest.approx(share, abs=0.05)
