"""The loop: selection, averages, decay."""

from dataclasses import replace

import pytest
import torch

from fedfactory.config.parameters import Schedule
from fedfactory.errors import FedFactoryError
from fedfactory.orchestration.progress import Progress
from fedfactory.training.loop import Average, History, Learner, Plain, Ranger, Training

SCHEDULE = Schedule(steps=6, decay_at=0.5, clip=10.0, ema=0.0, validations=2)


class NoCheckpoints:
    def rounds(self):
        return []


def state(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def equal(first, second) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def learner(network: torch.nn.Module, rate: float = 0.01) -> Learner:
    return Learner(network, Plain(torch.optim.Adam(network.parameters(), lr=rate)), rate)


def run(network, schedule, losses, validate=None) -> History:
    return Training({"network": learner(network)}, schedule, 0, losses, validate).run(NoCheckpoints(), Progress("x"))


def test_the_best_validation_state_is_taken():
    network = torch.nn.Linear(1, 1)
    start, both, target, seen = state(network), (0.1, 0.4, 0.5, 0.6), (0.2, 0.6, 0.3, 0.2), []

    def validate():
        seen.append(state(network))
        return {"both": both[len(seen) - 1], "target": target[len(seen) - 1]}

    def losses(step, stream):
        return {"loss": (network(torch.ones(1, 1)) - 3).square().sum()}

    history = run(network, replace(SCHEDULE, steps=10, validations=3), losses, validate)
    assert [step for step, _, _ in history.validations] == [0, 0, 3, 3, 7, 7, 10, 10]
    assert not history.validated(11, {}), "volumes without any class choose nothing"
    assert history.chosen == (3, "target"), "the first of equals"
    assert equal(seen[0], start), "what the training starts from is a state as well"
    assert equal(state(network), seen[1]) and not equal(state(network), seen[3])


def test_without_validation_the_last_state_is_taken():
    network, moves = torch.nn.Linear(1, 1), []

    def losses(step, stream):
        moves.append(network.bias.item())
        # A gradient of one, so that a step of Adam is the rate.
        return {"loss": network.bias.sum()}

    history = run(network, SCHEDULE, losses)
    assert history.chosen is None and history.validations == []
    places = [*moves, network.bias.item()]
    steps = [before - after for before, after in zip(places, places[1:], strict=False)]
    assert steps == pytest.approx([0.01] * 3 + [0.003] * 3, rel=1e-3), "the rate falls to three tenths"


def test_no_clipping_gives_the_bits_of_a_norm_that_is_never_reached():
    def trained(clip):
        torch.manual_seed(0)
        network = torch.nn.Linear(3, 3)
        learners = {"network": Learner(network, Plain(torch.optim.SGD(network.parameters(), lr=0.1)), 0.1)}

        def losses(step, stream):
            return {"loss": network(torch.randn(2, 3, generator=stream)).square().sum()}

        Training(learners, replace(SCHEDULE, clip=clip), 0, losses, None).run(NoCheckpoints(), Progress("x"))
        return state(network)

    assert equal(trained(None), trained(1_000_000.0))
    assert not equal(trained(None), trained(0.1))


def test_accumulated_batches_make_one_step_by_their_mean():
    network, drawn = torch.nn.Linear(1, 1), []
    before = network.bias.item()

    def losses(step, stream):
        drawn.append(torch.randn((), generator=stream).item())
        return {"loss": network.bias.sum() * drawn[-1]}

    learners = {"network": Learner(network, Plain(torch.optim.SGD(network.parameters(), lr=0.1)), 0.1)}
    schedule = replace(SCHEDULE, steps=1, decay_at=1.0, accumulate=4)
    history = Training(learners, schedule, 0, losses, None).run(NoCheckpoints(), Progress("x"))
    assert len(drawn) == 4 and len(set(drawn)) == 4
    assert network.bias.item() == pytest.approx(before - 0.1 * sum(drawn) / 4)
    assert history.losses == [(1, "loss", pytest.approx(before * sum(drawn) / 4))]


def test_every_learner_learns_and_nothing_else():
    first, second, other = (torch.nn.Linear(1, 1) for _ in range(3))
    before = state(other)
    learners = {"first": learner(first, 0.1), "second": learner(second, 0.2)}

    def losses(step, stream):
        return {"loss": first.bias.sum() + second.bias.sum() + other.bias.sum()}

    starts = first.bias.item(), second.bias.item()
    Training(learners, replace(SCHEDULE, steps=1), 0, losses, None).run(NoCheckpoints(), Progress("x"))
    moved = starts[0] - first.bias.item(), starts[1] - second.bias.item()
    assert moved == pytest.approx((0.1, 0.2), rel=1e-3)
    assert equal(state(other), before)


def test_the_average_follows_the_networks_and_is_what_is_kept():
    network = torch.nn.BatchNorm1d(2)
    mean = Average([network], 0.75)
    start = state(network)
    with torch.no_grad():
        network.weight.fill_(5.0)
        network.running_mean.fill_(4.0)
        network.num_batches_tracked.fill_(3)
    mean.update()
    own = state(network)
    with mean.in_place():
        torch.testing.assert_close(network.weight.detach(), 0.75 * start["weight"] + 0.25 * 5)
        torch.testing.assert_close(network.running_mean, torch.full((2,), 1.0))
        assert network.num_batches_tracked == 3
    assert equal(state(network), own)
    mean.put()
    assert not equal(state(network), own)


def test_a_loss_that_is_not_finite_ends_the_training():
    network = torch.nn.Linear(1, 1)

    def losses(step, stream):
        return {"loss": network(torch.ones(1, 1)).sum() * (float("nan") if step == 3 else 1)}

    with pytest.raises(FedFactoryError, match="step 3 is not finite; lower the learning rates"):
        run(network, SCHEDULE, losses)


@pytest.mark.parametrize("beta2", [0.96, 0.999])
def test_ranger_is_rectified_adam_that_meets_its_slow_weights(beta2):
    torch.manual_seed(0)
    p = torch.nn.Parameter(torch.randn(5, dtype=torch.float64))
    twin, slow = torch.nn.Parameter(p.detach().clone()), p.detach().clone()
    ranger, plain = Ranger([p], 0.1, beta2), torch.optim.RAdam([twin], lr=0.1, betas=(0.95, beta2), eps=1e-5)
    for step in range(1, 31):
        rate = 0.1 if step < 20 else 0.03
        ranger.set_rate(rate)
        plain.param_groups[0]["lr"] = rate
        p.grad = torch.randn(5, dtype=torch.float64) * 10.0 ** torch.arange(-4, 1)
        twin.grad = p.grad.clone()
        ranger.step()
        plain.step()
        if step % 6 == 0:
            slow = (slow + twin.detach()) / 2
            twin.data.copy_(slow)
        torch.testing.assert_close(p, twin, rtol=1e-9, atol=1e-9)


def test_history_survives_a_checkpoint():
    history = History([], [], None)
    for step in range(3):
        history.add(step, {"loss": torch.tensor(float(step)).item()}, 2, 10)
    history.validated(2, {"both": 0.5})
    other = History.from_plain(history.plain())
    for one in (history, other):
        one.add(3, {"loss": 5.0}, 2, 10)
    assert other == history
    assert history.losses == [(2, "loss", 0.5), (4, "loss", 3.5)]
