"""FedDG: amplitude mixing, boundary contrast, episodes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter

from fedfactory.errors import FedFactoryError
from fedfactory.methods.feddg.amplitude import half_width, low_amplitudes, mixed
from fedfactory.methods.feddg.client import in_another_look
from fedfactory.methods.feddg.contrast import boundary_and_ring, boundary_contrast
from fedfactory.methods.feddg.episode import episode_losses
from fedfactory.methods.feddg.parameters import FedDGParameters
from fedfactory.methods.federated.network import FeatureUNet
from fedfactory.training.losses import segmentation_loss


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(-1, 1, (2, 3, 16, 16)).astype(np.float32)


def spectrum(images):
    return np.fft.fftshift(np.fft.fft2(images), axes=(-2, -1))


@pytest.mark.parametrize("ratio", [0.3, 1.0])
def test_mixing_keeps_the_phase_and_takes_the_low_frequencies(images, ratio):
    own, other = images
    b = half_width(16, 0.13)
    result = mixed(own, low_amplitudes(other, b), np.full(3, ratio))
    before, after, theirs = spectrum(own), spectrum(result), spectrum(other)
    np.testing.assert_allclose(np.angle(after / before), 0, atol=1e-3)
    low = np.zeros((16, 16), bool)
    low[8 - b : 9 + b, 8 - b : 9 + b] = True
    np.testing.assert_allclose(after[:, ~low], before[:, ~low], atol=1e-3)
    expected = (1 - ratio) * np.abs(before) + ratio * np.abs(theirs)
    np.testing.assert_allclose(np.abs(after)[:, low], expected[:, low], rtol=1e-3, atol=1e-4)


def test_a_mixed_image_stays_in_range_and_takes_on_the_others_brightness(images):
    dark, bright = np.clip(images[0] * 0.3 - 0.6, -1, 1), np.clip(images[1] * 0.3 + 0.6, -1, 1)
    amplitudes = low_amplitudes((bright + 1) / 2, 1)
    found = in_another_look(dark, amplitudes, np.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(found[0], dark[0], atol=1e-5)
    assert np.abs(found).max() <= 1
    means = [image.mean() for image in found]
    assert means[1] == pytest.approx(0, abs=0.05) and means[2] == pytest.approx(bright[2].mean(), abs=0.05)


def test_every_image_is_mixed_by_its_own_ratio(images):
    own, other = images
    found = mixed(own, low_amplitudes(other, 1), np.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(found[0], own[0], atol=1e-6)
    np.testing.assert_allclose(found[1:2], mixed(own[1:2], low_amplitudes(other[1:2], 1), np.array([0.5])), atol=1e-6)


@pytest.mark.parametrize(("size", "share"), [(64, 0.01), (64, 0.5), (2, 0.5)])
def test_windows_that_cannot_be(size, share):
    with pytest.raises(FedFactoryError, match="frequencies wide"):
        half_width(size, share)
    assert half_width(64, 1 / 64) == 1


@pytest.mark.parametrize(("inner", "outer"), [(1, 2), (2, 5)])
def test_contour_and_ring_are_those_of_erosion_and_dilation_with_a_cross(inner, outer):
    stream = np.random.default_rng(3)
    # One mask touches the border: beyond it lies background, so that it has a contour there.
    masks = gaussian_filter(stream.normal(size=(4, 24, 24)), (0, 2, 2)) > 0.02
    masks[0, 5:9, :6] = True
    contour, ring = (x.numpy() for x in boundary_and_ring(torch.from_numpy(masks), inner, outer))
    for mask, own, around in zip(masks, contour, ring, strict=True):
        np.testing.assert_array_equal(own, mask & ~binary_erosion(mask, iterations=inner))
        np.testing.assert_array_equal(around, binary_dilation(mask, iterations=outer) & ~mask)
    assert contour[0, 5:9, 0].all()


@pytest.mark.parametrize("images", [2, 5])
def test_boundary_contrast_at_a_known_value(images):
    """Features that tell contour from ring exactly: each pair of a kind against all of the other kind."""
    mask = torch.zeros(images, 20, 20, dtype=torch.bool)
    mask[:, 6:14, 6:14] = True
    contour, _ = boundary_and_ring(mask)
    features = torch.zeros(images, 2, 20, 20, dtype=torch.float64)
    features[:, 0][contour] = 3.0
    features[:, 1][~mask] = 2.0
    alike, unlike = 1.0, 0.0
    expected = -np.log(np.exp(alike / 0.5) / (np.exp(alike / 0.5) + images * np.exp(unlike / 0.5)))
    assert boundary_contrast(features, mask, temperature=0.5).item() == pytest.approx(expected)
    assert boundary_contrast(features, mask, temperature=0.01).item() < 1e-9, "nothing is left to learn"
    shuffled = torch.stack([*features[:-1], features[-1].flip(0)])
    assert boundary_contrast(shuffled, mask, temperature=0.5) > expected


def test_contrast_without_any_foreground_is_zero_and_differentiable():
    features = torch.rand(2, 3, 8, 8, requires_grad=True)
    loss = boundary_contrast(features, torch.zeros(2, 8, 8, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0 and features.grad.abs().sum() == 0


def parameters(**values) -> FedDGParameters:
    return replace(
        FedDGParameters(
            image_size=16, features=(4, 8), convolutions=2, rounds=2, local_steps=2, batch=2, copies=1,
            learning_rate=0.01,
            betas=(0.9, 0.999), inner_learning_rate=0.1, gradient_order="first", window=0.1, bank=4, contrast=0.1,
            clip=10.0, checkpoint_every=1, deadline=600,
        ),
        **values,
    )  # fmt: skip


class Quadratic(torch.nn.Module):
    """Logits that are linear in one weight, so that an episode can be written out."""

    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.tensor(0.5, dtype=torch.float64))

    def forward(self, images):
        logits = torch.cat([torch.zeros_like(images), self.w * images], 1)
        return logits, logits


@pytest.mark.parametrize("order", ["first", "second"])
def test_an_episode_is_its_definition(order):
    """The gradient of both parts, by finite differences of the paper's formula."""
    stream = torch.Generator().manual_seed(0)
    images, other = torch.randn(2, 2, 1, 8, 8, generator=stream, dtype=torch.float64)
    labels = (images[:, 0] > 0).to(torch.uint8)
    p = parameters(gradient_order=order, contrast=0.0)

    def loss(w, x):
        logits = torch.cat([torch.zeros_like(x), w * x], 1)
        return segmentation_loss(logits, labels, 1.0, 1.0)

    def slope(f, w, h=1e-5):
        return (f(w + h) - f(w - h)) / (2 * h)

    w = torch.tensor(0.5, dtype=torch.float64)
    step = p.inner_learning_rate * slope(lambda v: loss(v, images), w)
    if order == "second":

        def whole(v):
            return loss(v, images) + loss(v - p.inner_learning_rate * slope(lambda u: loss(u, images), v), other)

        expected = slope(whole, w, 1e-3)
    else:
        expected = slope(lambda v: loss(v, images), w) + slope(lambda v: loss(v, other), w - step)
    network = Quadratic()
    episode_losses(network, images, other, labels, p).backward()
    assert network.w.grad.item() == pytest.approx(expected.item(), rel=1e-3)


def test_second_order_differs_from_first():
    stream = torch.Generator().manual_seed(0)
    images, other = torch.randn(2, 2, 1, 16, 16, generator=stream)
    labels = (images[:, 0] > 0).to(torch.uint8)
    torch.manual_seed(0)
    network, gradients = FeatureUNet((4, 8), 2, 1), []
    for order in ("first", "second"):
        network.zero_grad()
        episode_losses(network, images, other, labels, parameters(gradient_order=order)).backward()
        gradients.append(network.head.weight.grad.clone())
    assert not torch.allclose(*gradients)
    assert all(parameter.is_leaf for parameter in network.parameters()), "the network is left as it was"
