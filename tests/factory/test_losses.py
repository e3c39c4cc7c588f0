"""Losses and augmentation of the factory."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fedfactory.factory import losses
from fedfactory.factory.augmentation import AdaptiveProbability, augment


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_adversarial_losses_at_known_values():
    zero, ten = torch.zeros(3), torch.full((3,), 10.0)
    assert losses.discriminator_loss(zero, zero).item() == pytest.approx(2 * math.log(2))
    assert losses.generator_loss(zero).item() == pytest.approx(math.log(2))
    assert losses.discriminator_loss(ten, -ten).item() == pytest.approx(2 * math.log1p(math.exp(-10)), rel=1e-3)
    assert losses.generator_loss(-ten).item() == pytest.approx(10 + math.log1p(math.exp(-10)))


def test_r1_equals_a_numerical_gradient():
    network = nn.Sequential(nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 1), nn.Flatten(0)).double()
    images = torch.randn(3, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    expected = sum(numerical_gradient(lambda x: network(x).sum(), images).square().sum((1, 2, 3))) / 3
    penalty = losses.r1_penalty(network(images), images)
    assert penalty.item() == pytest.approx(expected.item(), rel=1e-7)
    penalty.backward()
    assert network[0].weight.grad.abs().max() > 0


def test_r1_at_a_known_value():
    images = torch.randn(5, 1, 4, 4, requires_grad=True)
    assert losses.r1_penalty(images.sum((1, 2, 3)) * 3, images).item() == pytest.approx(9 * 16)


def test_path_length_equals_a_numerical_gradient():
    layer = nn.Linear(6, 16).double()
    styles = torch.randn(2, 3, 6, dtype=torch.float64, requires_grad=True)
    noise = torch.randn(2, 1, 4, 4, dtype=torch.float64)

    def render(styles):
        return torch.tanh(layer(styles)).prod(1).view(2, 1, 4, 4)

    jacobian = numerical_gradient(lambda s: (render(s) * noise).sum() / 4, styles)
    lengths = jacobian.square().sum(2).mean(1).sqrt()
    mean = torch.tensor(0.5, dtype=torch.float64)
    penalty, new = losses.path_length_penalty(render(styles), styles, noise, mean, 0.25)
    expected = 0.75 * 0.5 + 0.25 * lengths.mean()
    assert new.item() == pytest.approx(expected.item(), rel=1e-7) and not new.requires_grad
    assert penalty.item() == pytest.approx((lengths - expected).square().mean().item(), rel=1e-6)
    penalty.backward()
    assert layer.weight.grad.abs().max() > 0


def numerical_gradient(function, x, step=1e-5):
    """Central differences of a scalar function."""
    gradient = torch.zeros_like(x)
    for i in range(x.numel()):
        values = []
        for sign in (step, -step):
            moved = x.detach().clone()
            moved.view(-1)[i] += sign
            values.append(function(moved).item())
        gradient.view(-1)[i] = (values[0] - values[1]) / (2 * step)
    return gradient.detach()


@pytest.mark.parametrize(
    ("b", "expected"),
    [([2.0, 0.0], 0.0), ([0.0, 3.0], (math.pi / 2) ** 2), ([-1.0, 0.0], math.pi**2), ([1.0, 1.0], (math.pi / 4) ** 2)],
)
def test_spherical_distance_at_known_values(b, expected):
    distance = losses.spherical_distance(torch.tensor([[1.0, 0.0]]), torch.tensor([b]))
    assert distance.shape == (1,)
    assert distance.item() == pytest.approx(expected, abs=1e-5)


def test_spherical_distance_is_differentiable_where_it_vanishes():
    a = torch.randn(4, 8, requires_grad=True)
    losses.spherical_distance(a, torch.cat([a[:2].detach(), torch.randn(2, 8)])).sum().backward()
    assert torch.isfinite(a.grad).all() and a.grad[2:].abs().max() > 0


def test_augmentation_of_probability_zero_is_the_identity():
    images = torch.rand(4, 1, 32, 32) * 2 - 1
    assert torch.equal(augment(images, 0.0, True), images)


def test_augmentation_changes_every_image():
    images = torch.rand(16, 1, 32, 32) * 2 - 1
    changed = augment(images, 1.0, False)
    assert changed.shape == images.shape and torch.isfinite(changed).all()
    assert ((changed - images).abs().amax((1, 2, 3)) > 0.1).all()


def test_augmentation_hits_images_with_its_probability():
    images = torch.rand(4000, 1, 4, 4) * 2 - 1
    same = ((augment(images, 0.1, False) - images).abs().amax((1, 2, 3)) < 1e-6).float().mean().item()
    # Shift (which may be by 0 pixels), warp, intensity, cutout (which may fall between pixels).
    assert 0.9**4 - 0.03 < same < 0.9**2


def test_augmentation_moves_in_background_only():
    images = torch.full((64, 1, 32, 32), -1.0)
    assert ((augment(images, 1.0, True, torch.Generator().manual_seed(3)) + 1).abs() < 0.5).all()


def test_augmentation_is_reproducible():
    images = torch.rand(4, 1, 32, 32) * 2 - 1
    a, b = (augment(images, 0.5, True, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(a, b)
    torch.manual_seed(5)
    a = augment(images, 0.5, True)
    torch.manual_seed(5)
    assert torch.equal(a, augment(images, 0.5, True))


def test_augmentation_flips_only_where_allowed():
    images = torch.full((200, 1, 16, 16), -1.0)
    images[:, :, :, :3] = 1
    for flip in (False, True):
        left = augment(images, 0.2, flip)[:, :, :, :5].mean((1, 2, 3))
        right_side = (left < -0.99).float().mean().item()
        assert (right_side > 0.1) == flip


def test_gradient_flows_through_augmentation():
    images = (torch.rand(8, 1, 32, 32) * 2 - 1).requires_grad_()
    augment(images, 0.8, True).sum().backward()
    assert (images.grad.abs().sum((1, 2, 3)) > 0).all()


def test_r1_looks_through_the_augmentation():
    """Its gradient by the discriminator's weights is that of finite differences of the penalty at the images."""
    images = torch.rand(6, 1, 16, 16, dtype=torch.float64) * 2 - 1
    weight = torch.randn(3, 1, 5, 5, dtype=torch.float64).div(5).requires_grad_()

    def penalty(value):
        x = images.clone().requires_grad_()
        changed = augment(x, 0.8, True, torch.Generator().manual_seed(11))
        return losses.r1_penalty(torch.tanh(F.conv2d(changed, value)).sum((1, 2, 3)), x)

    (found,) = torch.autograd.grad(penalty(weight), weight)
    step = torch.randn_like(weight)
    ahead, behind = (penalty(weight.detach() + sign * 1e-5 * step) for sign in (1, -1))
    assert (found * step).sum().item() == pytest.approx((ahead - behind).item() / 2e-5, rel=1e-5)


def test_r1_of_what_is_cut_out_is_zero():
    """What the augmentation hides cannot change a logit: R1 at the augmented image would not know."""
    images = torch.rand(40, 1, 16, 16) * 2 - 1
    x = images.clone().requires_grad_()
    changed = augment(x, 1.0, False, torch.Generator().manual_seed(2))
    whole = 3.0 * changed.sum((1, 2, 3))
    at_images = losses.r1_penalty(whole, x).item()
    later = changed.detach().requires_grad_()
    assert at_images < losses.r1_penalty(3.0 * later.sum((1, 2, 3)), later).item() == pytest.approx(9 * 256)


def test_adaptive_probability_follows_the_target():
    adaptive = AdaptiveProbability(target=0.6, speed=1000)
    for _ in range(200):
        adaptive.update(1.0, 10)
    assert adaptive.p == pytest.approx(0.8) and adaptive.sign == pytest.approx(1.0, abs=1e-3)
    adaptive.update(-1.0, 128)
    assert adaptive.p == pytest.approx(0.8 - 0.128) and adaptive.sign == pytest.approx(-1.0)
    for _ in range(200):
        adaptive.update(0.0, 10)
    assert adaptive.p == 0.0
    assert AdaptiveProbability(0.6, 1000, adaptive.p, adaptive.sign) == adaptive


def test_adaptive_probability_can_be_off():
    adaptive = AdaptiveProbability(target=0, speed=1000)
    adaptive.update(1.0, 10)
    assert adaptive.p == 0.0
