"""Generator, discriminator and the layers below them."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck, gradgradcheck

from fedfactory.factory import convolution, layers
from fedfactory.factory.losses import path_length_penalty, r1_penalty
from fedfactory.factory.networks import ConditionEmbedding, Discriminator, FactoryModel, Generator
from fedfactory.factory.parameters import NetworkParameters

SMALL = NetworkParameters(
    image_size=32,
    channels={4: 16, 8: 16, 16: 12, 32: 8},
    latent=32,
    mapping_layers=2,
    mapping_rate=0.01,
    weighting="mean",
    label_reaches="all",
    late_from=16,
    client_zoom=False,
    position_width=0.0,
    noise=True,
    position_bins=5,
    key_size=12,
    clients=3,
)
LATE = replace(SMALL, label_reaches="late")
ZOOM = replace(LATE, client_zoom=True)
PAPER = replace(
    SMALL,
    image_size=512,
    channels={4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64},
    latent=512,
    mapping_layers=8,
    position_bins=29,
    key_size=768,
)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def inputs(p, batch=4):
    """Arguments z, client, position and key of a generator."""
    client, position = torch.arange(batch) % p.clients, torch.arange(batch) % p.position_bins
    return torch.randn(batch, p.latent), client, position, torch.randn(batch, p.key_size)


def dense_blur(x, padding, stride=1, gain=1.0):
    """The blur as one 4 x 4 kernel per channel."""
    taps = x.new_tensor([1.0, 3.0, 3.0, 1.0]) / 8
    kernel = (taps[:, None] * taps * gain).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(F.pad(x, (padding,) * 4), kernel, groups=x.shape[1])[:, :, ::stride, ::stride]


def close(a, b, tolerance=1e-5):
    assert a.shape == b.shape
    assert (a - b).abs().max() < tolerance


# Layers.


@pytest.mark.parametrize("rate", [1.0, 0.01])
def test_equalised_linear_scales_when_it_runs(rate):
    layer = layers.EqualisedLinear(256, 200, rate=rate, bias=0.5)
    x = torch.randn(500, 256)
    assert layer.weight.std().item() == pytest.approx(1 / rate, rel=0.02)
    close(layer(x), F.linear(x, layer.weight * rate / 16, layer.bias * rate))
    assert (layer(x) - 0.5).var().item() == pytest.approx(1, rel=0.05)


def test_scaled_activation_keeps_the_mean_square():
    layer = layers.EqualisedLinear(256, 256, activation=True)
    x = torch.randn(500, 256)
    assert layer(x).square().mean().item() == pytest.approx(1.04, rel=0.05)
    close(layer(x), F.leaky_relu(x @ layer.weight.t() / 16, 0.2) * 2**0.5)


@pytest.mark.parametrize("down", [False, True])
def test_equalised_convolution_equals_the_dense_form(down):
    layer = layers.EqualisedConv(6, 10, down=down)
    layer.bias.data.normal_()
    x = torch.randn(3, 6, 16, 16)
    weight = layer.weight / 54**0.5
    y = F.conv2d(dense_blur(x, 2), weight, stride=2) if down else F.conv2d(x, weight, padding=1)
    close(layer(x), F.leaky_relu(y + layer.bias[:, None, None], 0.2) * 2**0.5)


def test_pointwise_convolution_equals_the_dense_form():
    x = torch.randn(3, 6, 16, 16)
    skip = layers.EqualisedPointwise(6, 10, down=True, gain=0.5)
    close(skip(x), F.conv2d(dense_blur(x, 1), skip.weight[:, :, None, None] / 6**0.5, stride=2) * 0.5)
    entry = layers.EqualisedPointwise(6, 10, activation=True)
    entry.bias.data.normal_()
    y = F.conv2d(x, entry.weight[:, :, None, None] / 6**0.5, entry.bias)
    close(entry(x), F.leaky_relu(y, 0.2) * 2**0.5)


@pytest.mark.parametrize("up", [False, True])
def test_modulated_convolution_equals_the_grouped_one(up):
    batch, a, b = 3, 6, 10
    layer = layers.ModulatedConv(a, b, latent=7, up=up)
    x, w = torch.randn(batch, a, 8, 8), torch.randn(batch, 7)
    weight = layer.weight.transpose(0, 1) if up else layer.weight
    weight = weight / (9 * a) ** 0.5 * layer.modulation(w)[:, None, :, None, None]
    weight = weight * torch.rsqrt(weight.square().sum((2, 3, 4), keepdim=True) + 1e-8)
    x_all = x.reshape(1, batch * a, 8, 8)
    if up:
        y = F.conv_transpose2d(x_all, weight.transpose(1, 2).flatten(0, 1), stride=2, groups=batch)
        y = dense_blur(y.view(batch, b, 17, 17), 1, gain=4)
    else:
        y = F.conv2d(x_all, weight.flatten(0, 1), padding=1, groups=batch).view(batch, b, 8, 8)
    result, factor = layer(x, w)
    close(result * factor, y)


def test_demodulation_gives_unit_variance():
    layer = layers.ModulatedConv(64, 64, latent=16)
    result, factor = layer(torch.randn(8, 64, 32, 32), torch.randn(8, 16) * 3)
    variance = (result * factor)[:, :, 1:-1, 1:-1].var((1, 2, 3))
    assert variance.min() > 0.9 and variance.max() < 1.1


def test_to_image_equals_a_modulated_convolution():
    layer = layers.ToImage(6, latent=7)
    layer.bias.data.fill_(0.3)
    x, w = torch.randn(3, 6, 8, 8), torch.randn(3, 7)
    weight = layer.weight / 6**0.5 * layer.modulation(w)
    close(layer(x, w), torch.einsum("bchw,bc->bhw", x, weight)[:, None] + 0.3)


def test_upsampling_equals_the_dense_form_and_keeps_brightness():
    x = torch.randn(2, 3, 8, 8)
    zeros = F.pad(x[:, :, :, None, :, None], (0, 1, 0, 0, 0, 1)).reshape(2, 3, 16, 16)
    close(convolution.double(x), dense_blur(F.pad(zeros, (1, 0, 1, 0)), 1, gain=4))
    bright = convolution.double(torch.full((1, 1, 8, 8), 0.7))
    close(bright[:, :, 2:-2, 2:-2], torch.full((1, 1, 12, 12), 0.7))
    close(convolution.halve(x), dense_blur(x, 1, stride=2))


def test_modulated_upsampling_keeps_the_level():
    layer = layers.ModulatedConv(64, 64, latent=16, up=True)
    result, factor = layer(torch.randn(4, 64, 16, 16), torch.randn(4, 16))
    # A quarter of the taps meet a pixel, the blur's own energy is (20 / 16) ** 2: 0.39 for uncorrelated pixels.
    assert 0.3 < (result * factor).var().item() < 0.5


@pytest.mark.parametrize(("batch", "group"), [(8, 4), (4, 4), (6, 3), (2, 2), (5, 1), (1, 1)])
def test_minibatch_deviation(batch, group):
    x = torch.randn(batch, 3, 4, 4)
    y = layers.minibatch_deviation(x)
    assert y.shape == (batch, 4, 4, 4)
    assert torch.equal(y[:, :3], x)
    members = x.view(group, batch // group, 3, 4, 4)
    expected = (members.var(0, unbiased=False) + 1e-8).sqrt().mean((1, 2, 3))
    close(y[:, 3], expected.repeat(group)[:, None, None].expand(-1, 4, 4))


def test_pixel_norm():
    close(layers.pixel_norm(torch.tensor([[3.0, 4.0]])), torch.tensor([[3.0, 4.0]]) / 12.5**0.5)


# Convolutions and their derivatives.


@pytest.mark.parametrize(("stride", "padding"), [(1, 1), (2, 0)])
@pytest.mark.parametrize("transposed", [False, True])
def test_convolution_and_its_derivatives(stride, padding, transposed):
    small, large = (4, 4) if stride == 1 else (2, 5)
    x = torch.randn(2, 3, small, small) if transposed else torch.randn(2, 2, large, large)
    weight, bias = torch.randn(3, 2, 3, 3), torch.randn(2 if transposed else 3)
    x, weight, bias = (t.double().requires_grad_() for t in (x, weight, bias))

    def function(*arguments):
        return convolution.conv(*arguments, stride=stride, padding=padding, transposed=transposed)

    reference = (F.conv_transpose2d if transposed else F.conv2d)(x, weight, bias, stride=stride, padding=padding)
    close(function(x, weight, bias), reference, 1e-12)
    gradient = torch.randn_like(reference)
    ours = torch.autograd.grad(function(x, weight, bias), (x, weight, bias), gradient)
    for a, b in zip(ours, torch.autograd.grad(reference, (x, weight, bias), gradient), strict=True):
        close(a, b, 1e-11)
    assert gradgradcheck(function, (x, weight, bias), fast_mode=True)


@pytest.mark.parametrize("name", ["blur", "halve", "double"])
def test_resampling_derivatives(name):
    x = torch.randn(1, 2, 6, 6, dtype=torch.float64, requires_grad=True)
    for padding in [(1,), (2,)] if name == "blur" else [()]:

        def function(x, padding=padding):
            return getattr(convolution, name)(x, *padding)

        if name == "blur":
            close(function(x), dense_blur(x, *padding), 1e-12)
        assert gradcheck(function, (x,), fast_mode=True) and gradgradcheck(function, (x,), fast_mode=True)


# Generator.


def test_paper_scale():
    with torch.device("meta"):
        model = FactoryModel(PAPER)
    millions = [sum(t.numel() for t in part.parameters()) / 1e6 for part in (model.generator, model.discriminator)]
    # The public code's count; its embedding of the key has two layers, the paper's one.
    assert millions == pytest.approx([30.6, 29.7], rel=0.025)
    assert [type(layer).__name__ for layer in model.discriminator.head] == ["EqualisedLinear"] * 2
    assert [layer.activation for layer in model.discriminator.head] == [True, False]
    assert model.generator.n_styles == 16


def test_state_holds_parameters_only():
    model = FactoryModel(SMALL)
    assert set(model.state_dict()) == {name for name, _ in model.named_parameters()}
    other = FactoryModel(SMALL)
    other.load_state_dict(model.state_dict())
    z, *condition = inputs(SMALL)
    assert torch.equal(model.generator.styles(z, *condition), other.generator.styles(z, *condition))


@pytest.mark.parametrize("p", [SMALL, LATE, replace(SMALL, weighting="key_dominant", noise=False)])
def test_every_parameter_gets_a_gradient(p):
    model = FactoryModel(p)
    arguments = inputs(p)
    images = model.generator(*arguments)
    assert images.shape == (4, 1, 32, 32)
    logits = model.discriminator(images, *arguments[1:])
    assert logits.shape == (4,)
    logits.square().sum().backward()
    unmoved = [n for n, t in model.named_parameters() if t.grad is None or not t.grad.abs().max() > 0]
    assert unmoved == []


def test_start_is_of_moderate_size():
    model = FactoryModel(replace(SMALL, channels={4: 64, 8: 64, 16: 64, 32: 64}, latent=64))
    arguments = inputs(replace(SMALL, latent=64), 8)
    images = model.generator(*arguments)
    assert 0.2 < images.std() < 5
    assert model.discriminator(images, *arguments[1:]).abs().max() < 10


@pytest.mark.parametrize("moved", ["client", "position", "key"])
@pytest.mark.parametrize("p", [SMALL, LATE])
def test_condition_moves_the_image(p, moved):
    generator, discriminator = Generator(replace(p, noise=False)), Discriminator(p)
    z, client, position, key = inputs(p)
    condition = {"client": client, "position": position, "key": key}
    values = {"client": (client + 1) % p.clients, "position": position.roll(1), "key": torch.randn_like(key)}
    other = condition | {moved: values[moved]}
    images, others = generator(z, **condition), generator(z, **other)
    assert ((images - others).abs().amax((1, 2, 3)) > 1e-4).all()
    assert (discriminator(images, **condition) != discriminator(images, **other)).all()


def test_without_the_key_it_does_not_matter():
    p = replace(SMALL, noise=False)
    generator, discriminator = Generator(p), Discriminator(p)
    z, client, position, key = inputs(p)
    images = generator(z, client, position, key, use_key=False)
    assert torch.equal(images, generator(z, client, position, key * 2 + 1, use_key=False))
    logits = [discriminator(images, client, position, k, use_key=False) for k in (key, key * 2 + 1)]
    assert torch.equal(*logits)


@pytest.mark.parametrize(("weighting", "share"), [("mean", 0.5), ("key_dominant", 0.8), ("label", 0.0)])
def test_weighting_of_label_and_key(weighting, share):
    embedding = Generator(replace(SMALL, weighting=weighting)).condition
    _, *condition = inputs(SMALL)
    label, key = embedding.label(*condition[:2]), embedding.key(condition[2])
    close(embedding(*condition), share * key + (1 - share) * label)
    close(embedding(*condition, use_key=False), label)
    close(label.square().mean(1), torch.ones(4), 1e-3)


def test_neighbouring_positions_are_told_alike():
    bell, one = (ConditionEmbedding(replace(SMALL, position_width=width)) for width in (1.5, 0.0))
    position = torch.arange(SMALL.position_bins)
    for embedding in (bell, one):
        torch.testing.assert_close(embedding._bins(position).float().square().sum(1), torch.ones(len(position)))
    close_, far = ((bell._bins(position) @ bell._bins(position).T).diagonal(n)[0] for n in (1, 4))
    assert close_ > 0.8 and far < 0.3
    assert torch.equal(one._bins(position), torch.eye(len(position), dtype=torch.int64))


@pytest.mark.parametrize(("late_from", "shared"), [(4, 0), (8, 1), (16, 3), (32, 5)])
def test_late_label_leaves_early_styles_alone(late_from, shared):
    generator = Generator(replace(LATE, late_from=late_from))
    z, client, position, key = inputs(LATE)
    a = generator.styles(z, client, position, key)
    b = generator.styles(z, (client + 1) % LATE.clients, position, torch.randn_like(key))
    assert a.shape == (4, 8, 32)
    assert torch.equal(a[:, :shared], b[:, :shared])
    assert ((a[:, shared:] - b[:, shared:]).abs().amax(2) > 1e-4).all()
    assert shared == 0 or not torch.equal(a[:, 0], generator.styles(z, client, position.roll(1), key)[:, 0])


def test_magnification_at_known_values():
    x = torch.arange(5.0).expand(2, 1, 5, 5)
    zoom = torch.tensor([0.0, 2.0]).log1p().requires_grad_()
    result = layers.magnify(x, zoom)
    close(result[0], x[0])
    # Three times as large: a third of the slope around the centre.
    close(result[1, 0, 0], 2 + (torch.arange(5) - 2) / 3)
    shrunk = layers.magnify(x, torch.tensor([0.5, 0.5]).log())
    close(shrunk[0, 0, 0], torch.tensor([0.0, 0.0, 2.0, 4.0, 4.0]))
    close(layers.magnify(x.mT, zoom), result.mT)
    # Away from pixel centres, where the interpolation has a kink.
    tilt = torch.tensor([0.21, 0.13], dtype=torch.float64, requires_grad=True)
    image = torch.randn(2, 2, 6, 6, dtype=torch.float64, requires_grad=True)
    assert gradcheck(layers.magnify, (image, tilt)) and gradgradcheck(layers.magnify, (image, tilt))


def test_clients_differ_in_their_field_of_view_only_by_what_they_learned():
    p = replace(LATE, client_zoom=True, noise=False, late_from=32)
    generator, (z, client, position, key) = Generator(p), inputs(p)
    styles = generator.styles(z, client, position, key)
    _, before = generator.synthesise(styles, features=True, zoom=generator.zoom_of(client))
    generator(z, client, position, key).square().mean().backward()
    assert (generator.zoom.grad != 0).all(), "each client can learn its own from the start"
    generator.zoom.data += torch.tensor([1.0, 1.5, 0.5])
    torch.testing.assert_close(generator.zooms(), torch.tensor([0.02, 0.52, -0.48]), msg="their mean stays")
    _, maps = generator.synthesise(styles, features=True, zoom=generator.zoom_of(client))
    changed = [[not torch.equal(a, b) for a, b in zip(m, n, strict=True)] for m, n in zip(maps, before, strict=True)]
    assert not any(map(any, changed[:5])), "what is shared does not know the client"
    assert changed[5] == [number != 0 for number in client.tolist()], "client 1 looks closer, client 2 from further"


def test_style_mixing():
    generator = Generator(SMALL)
    z, *condition = inputs(SMALL)
    other = torch.randn_like(z)
    a, b = generator.styles(z, *condition), generator.styles(other, *condition)
    mixed = generator.mix(a, b, torch.tensor([0, 3, 8, 1]))
    assert torch.equal(mixed[0], b[0]) and torch.equal(mixed[2], a[2])
    assert torch.equal(mixed[1], torch.cat([a[1, :3], b[1, 3:]]))
    assert torch.equal(generator.mix(a, b, 2), torch.cat([a[:, :2], b[:, 2:]], 1))
    assert generator(z, *condition, mix=(other, 2)).shape == (4, 1, 32, 32)


def test_noise():
    generator, arguments = Generator(SMALL), inputs(SMALL)
    assert torch.equal(generator(*arguments), generator(*arguments))
    for conv in generator.convs:
        conv.strength.data.fill_(0.1)
    assert not torch.equal(generator(*arguments), generator(*arguments))
    styles = generator.styles(*arguments)
    noise = [torch.randn(1, 1, size, size) for size in (4, 8, 8, 16, 16, 32, 32)]
    assert torch.equal(generator.synthesise(styles, noise), generator.synthesise(styles, noise))
    silent = Generator(replace(SMALL, noise=False))
    assert torch.equal(silent(*arguments), silent(*arguments))
    assert not any("strength" in name for name in silent.state_dict())


def test_feature_maps_can_be_read_and_edited():
    generator = Generator(replace(SMALL, noise=False))
    styles = generator.styles(*inputs(SMALL))
    image, maps = generator.synthesise(styles, features=True)
    assert [tuple(m.shape[1:]) for m in maps] == [
        *((16, 4, 4), (16, 8, 8), (16, 8, 8)),
        *((12, 16, 16), (12, 16, 16), (8, 32, 32), (8, 32, 32)),
    ]
    assert torch.equal(image, generator.synthesise(styles))
    assert torch.equal(image, generator.synthesise(styles, edit=lambda i, x: x))
    edited, maps = generator.synthesise(styles, features=True, edit=lambda i, x: x * 0 if i == 4 else x)
    assert not maps[4].any() and not torch.equal(image, edited)


def test_mean_latent_belongs_to_the_client():
    generator = Generator(LATE)
    key = torch.randn(LATE.key_size)
    first, again, other = (
        generator.mean_latent(64, client, key, torch.Generator().manual_seed(1)) for client in (0, 0, 1)
    )
    assert first.shape == (8, 32) and torch.equal(first, again)
    assert torch.equal(first[:3], other[:3]) and not torch.equal(first[3:], other[3:])


# Discriminator.


def test_parts_of_a_batch_do_not_see_one_another():
    discriminator = Discriminator(SMALL)
    _, *condition = inputs(SMALL)
    a, b = torch.randn(2, 4, 1, 32, 32)
    both = discriminator(torch.cat([a, b]), *(c.repeat(2, *[1] * (c.dim() - 1)) for c in condition), parts=2)
    close(both, torch.cat([discriminator(a, *condition), discriminator(b, *condition)]))


def test_r1_moves_the_discriminator_as_finite_differences_say():
    discriminator = Discriminator(SMALL).double()
    _, client, position, key = inputs(SMALL, 2)
    images = torch.randn(2, 1, 32, 32, dtype=torch.float64, requires_grad=True)

    def penalty():
        return r1_penalty(discriminator(images, client, position, key.double()), images)

    check_derivatives(penalty, discriminator)


def test_path_length_moves_the_generator_as_finite_differences_say():
    generator = Generator(replace(SMALL, noise=False)).double()
    z, client, position, key = inputs(SMALL, 2)
    noise = torch.randn(2, 1, 32, 32, dtype=torch.float64)

    def penalty():
        styles = generator.styles(z.double(), client, position, key.double())
        images = generator.synthesise(styles)
        # Decay 0: the mean, which is a constant to the penalty, does not move with the weights.
        return path_length_penalty(images, styles, noise, torch.tensor(0.3, dtype=torch.float64), 0.0)[0]

    check_derivatives(penalty, generator)


def check_derivatives(function, module):
    """Compare the gradient of a penalty with central differences along a random direction of all parameters."""
    parameters = list(module.parameters())
    gradients = torch.autograd.grad(function(), parameters, allow_unused=True)
    directions = [torch.randn_like(t) for t in parameters]
    slope = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True) if g is not None)
    values = []
    for step in (1e-6, -2e-6):
        with torch.no_grad():
            for t, d in zip(parameters, directions, strict=True):
                t.add_(d, alpha=step)
        values.append(function().item())
    assert (values[0] - values[1]) / 2e-6 == pytest.approx(slope.item(), rel=1e-3)


# Mixed precision.


@pytest.mark.parametrize("p", [SMALL, ZOOM], ids=["all", "zoom"])
def test_half_precision_stays_in_the_feature_maps(p):
    model, arguments = FactoryModel(p), inputs(p)
    noise = [torch.zeros(1, 1, size, size) for size in (4, 8, 8, 16, 16, 32, 32)]
    styles = model.generator.styles(*arguments)
    expected = model.generator.synthesise(styles, noise)
    logits = model.discriminator(expected, *arguments[1:])
    model.compute_in(torch.bfloat16)
    images, maps = model.generator.synthesise(styles, noise, features=True)
    assert {x.dtype for x in maps} == {torch.bfloat16}
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in maps[1:])
    halved = model.discriminator(expected, *arguments[1:])
    # Eight bits of mantissa, over the layers.
    for found, exact in ((images, expected), (halved, logits)):
        assert found.dtype == torch.float32
        assert 0 < (found - exact).abs().max() < 0.05 * exact.abs().max()
    model.compute_in(torch.float32)
    assert torch.equal(model.generator.synthesise(styles, noise), expected)


def test_half_precision_gives_the_gradients_of_every_pass():
    model, arguments = FactoryModel(SMALL), inputs(SMALL)
    real = torch.rand(4, 1, 32, 32) * 2 - 1

    def gradients(feature_type):
        model.compute_in(feature_type)
        found = []
        images = real.clone().requires_grad_()
        styles = model.generator.styles(*arguments)
        noise = [torch.zeros(1, 1, size, size) for size in (4, 8, 8, 16, 16, 32, 32)]
        rendered = model.generator.synthesise(styles, noise)
        penalty, _ = path_length_penalty(rendered, styles, real, torch.zeros(()), 0.01)
        for loss, network in (
            (r1_penalty(model.discriminator(images, *arguments[1:]), images), model.discriminator),
            (penalty, model.generator),
            (model.discriminator(rendered, *arguments[1:]).mean(), model.generator),
        ):
            parts = torch.autograd.grad(loss, list(network.parameters()), allow_unused=True, retain_graph=True)
            found.append(torch.cat([part.flatten() for part in parts if part is not None]))
        return found

    for exact, halved in zip(gradients(torch.float32), gradients(torch.bfloat16), strict=True):
        assert halved.dtype == torch.float32
        assert F.cosine_similarity(exact, halved, dim=0) > 0.99
