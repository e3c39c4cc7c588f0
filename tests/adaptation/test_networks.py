"""Encoder, frozen factory and segmentation branch."""

import copy

import pytest
import torch
import torch.nn.functional as F

from fedfactory.factory.layers import magnify
from fedfactory.factory.model import Factory
from fedfactory.methods.ours.branch import SegmentationBranch
from fedfactory.methods.ours.encoder import SOURCE, TARGET, ContentGate, DomainNorm
from fedfactory.methods.ours.field_of_view import FieldOfView
from fedfactory.methods.ours.losses import reconstruction_loss
from fedfactory.methods.ours.pointwise import Pointwise, with_pointwise
from fedfactory.training.losses import one_hot, segmentation_loss
from tests.adaptation.conftest import PlainDistance, write_factory_folder


def images(count: int = 3, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 1, 32, 32, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.fixture
def networks(architecture, factory):
    translator, branch = architecture.networks(factory, seed=1)
    stream = torch.Generator().manual_seed(2)
    translator.means.copy_(torch.randn(translator.means.shape, generator=stream))
    with torch.no_grad():
        translator.encoder.label.copy_(torch.rand(translator.encoder.label.shape, generator=stream) + 0.5)
        translator.encoder.to_latents.weight.mul_(20)
    translator.eval()
    branch.eval()
    return translator, branch


def test_without_ramp_the_image_is_rendered_from_the_latents_alone(networks, factory):
    translator, _ = networks
    with torch.no_grad():
        encoding = translator.encode(images(), SOURCE)
        for label in (SOURCE, TARGET):
            styles = translator.means[label] + encoding.latents * translator.encoder.label[label]
            pure = factory.generator.synthesise(styles, zoom=torch.full((3,), factory.zoom("near")))
            assert torch.equal(translator.decode(encoding, label, ramp=0.0).image, pure)
            assert not torch.equal(translator.decode(encoding, label, ramp=0.5).image, pure)


def test_the_ramp_fades_content_in_without_a_jump(networks):
    translator, _ = networks
    with torch.no_grad():
        encoding = translator.encode(images(), SOURCE)
        pure, little, much = (translator.decode(encoding, SOURCE, ramp).image for ramp in (0.0, 1e-4, 1.0))
    assert (little - pure).abs().max() < 1e-3 < (much - pure).abs().max()


def test_the_gate_replaces_what_its_mask_opens():
    gate = ContentGate(3, 5)
    x, features = torch.randn(2, 5, 8, 8), torch.randn(2, 3, 8, 8)
    torch.nn.init.zeros_(gate.gates.weight)
    torch.nn.init.constant_(gate.gates.bias, -20.0)
    assert torch.equal(gate(x, features, 1.0), x), "a closed mask leaves the factory's maps alone"
    torch.nn.init.constant_(gate.gates.bias[5:], 20.0)
    content = gate.project(features)
    candidate = gate.candidate(torch.cat([content, torch.zeros_like(x)], 1))
    torch.testing.assert_close(gate(x, features, 1.0), candidate, rtol=1e-4, atol=1e-4)


def test_another_domain_label_gives_another_image(networks):
    translator, _ = networks
    with torch.no_grad():
        encoding = translator.encode(images(), SOURCE)
        own, other = (translator.decode(encoding, label).image for label in (SOURCE, TARGET))
        mixed = translator.decode(encoding, torch.tensor([SOURCE, TARGET, SOURCE])).image
    assert (own - other).abs().mean() > 0.01
    torch.testing.assert_close(mixed, torch.stack([own[0], other[1], own[2]]))


def test_the_label_alone_makes_a_difference(networks):
    translator, _ = networks
    translator.means.copy_(translator.means[:1].expand(2, -1, -1).clone())
    with torch.no_grad():
        encoding = translator.encode(images(), SOURCE)
        own, other = (translator.decode(encoding, label, ramp=0.0).image for label in (SOURCE, TARGET))
    assert (own - other).abs().mean() > 1e-3


def test_maps_lie_in_the_field_of_view_of_the_image(networks, factory):
    """Those that the factory shares among clients are magnified as it magnifies them itself."""
    translator, _ = networks
    shared = factory.generator.shared_styles
    with torch.no_grad():
        encoding = translator.encode(images(), SOURCE)
        maps = translator.decode(encoding, SOURCE, ramp=0.0).maps
        styles = translator.means[SOURCE] + encoding.latents * translator.encoder.label[SOURCE]
        zoom = torch.full((3,), factory.zoom("near"))
        _, own = factory.generator.synthesise(styles, features=True, zoom=zoom)
    assert factory.zoom("near") != 0 and 0 < shared < len(own)
    for number, (found, plain) in enumerate(zip(maps, own, strict=False)):
        expected = magnify(plain, zoom) if number < shared else plain
        torch.testing.assert_close(found, expected)
    assert len(maps) == len(own) + 4, "and the encoder's own features"


def test_content_for_shared_layers_is_brought_into_the_shared_field_of_view(networks, factory):
    translator, _ = networks
    seen = {}
    inject = translator.encoder.inject

    def listen(edge, x, encoding, ramp):
        seen[edge] = encoding.content[edge]
        return inject(edge, x, encoding, ramp)

    translator.encoder.inject = listen
    with torch.no_grad():
        encoding = translator.encode(images(), SOURCE)
        translator.decode(encoding, SOURCE)
    zoom = torch.full((3,), factory.zoom("near"))
    torch.testing.assert_close(seen[8], magnify(encoding.content[8], -zoom))
    assert seen[32] is encoding.content[32]


def test_noise_of_the_factory_is_left_out(architecture, tmp_path):
    noisy = Factory(write_factory_folder(tmp_path / "noisy", noise=True))
    with torch.no_grad():
        for conv in noisy.generator.convs:
            conv.strength.fill_(1.0)
        translator, _ = architecture.networks(noisy, seed=1)
        translator.eval()
        first, second = (translator.decode(translator.encode(images(), SOURCE), SOURCE).image for _ in range(2))
    assert torch.equal(first, second)


def test_each_domain_has_its_own_normalisation(networks):
    translator, _ = networks
    norms = [module for module in translator.encoder.modules() if isinstance(module, DomainNorm)]
    assert len(norms) > 4
    before = [norm.domains[SOURCE].running_mean.clone() for norm in norms]
    translator.train()
    translator.encode(images() + 1, TARGET)
    for norm, mean in zip(norms, before, strict=True):
        assert torch.equal(norm.domains[SOURCE].running_mean, mean), (
            "a batch of one domain leaves the other's statistics"
        )
        assert not torch.equal(norm.domains[TARGET].running_mean, mean)
    translator.encoder.start_target_as_source()
    translator.eval()
    assert torch.equal(translator.encoder.label[SOURCE], translator.encoder.label[TARGET])
    with torch.no_grad():
        assert torch.equal(translator.encode(images(), SOURCE).latents, translator.encode(images(), TARGET).latents)


def test_the_branch_equals_classifying_the_enlarged_maps_together():
    torch.manual_seed(0)
    widths, sizes = (5, 4, 4, 3), (4, 8, 8, 16)
    branch = SegmentationBranch(widths, (6, 5), classes=2).eval()
    maps = [torch.randn(2, width, size, size) for width, size in zip(widths, sizes, strict=True)]
    enlarged = torch.cat([F.interpolate(x, (32, 32), mode="bilinear", align_corners=False) for x in maps], 1)
    weight = torch.cat([layer.weight for layer in branch.layers], 1)
    together = branch.classifier(F.conv2d(enlarged, weight, branch.layers[0].bias))
    found = branch(maps, 32)
    assert found.shape == (2, 3, 32, 32)
    torch.testing.assert_close(found, together, rtol=1e-4, atol=1e-5)


def test_segmentation_loss_at_known_values():
    labels = torch.tensor([[[0, 0, 1, 1]] * 4], dtype=torch.uint8)
    wanted = one_hot(labels, classes=1)
    assert segmentation_loss(50 * (wanted * 2 - 1), labels, 1.0, 1.0).item() == pytest.approx(0, abs=1e-6)
    # Without an opinion p = 1/2 everywhere: Dice = (2 * 4 + 1) / (8 + 8 + 1), cross-entropy = log 2.
    blank = torch.zeros_like(wanted)
    assert segmentation_loss(blank, labels, 1.0, 0.0).item() == pytest.approx(1 - 9 / 17)
    assert segmentation_loss(blank, labels, 0.0, 2.0).item() == pytest.approx(2 * 0.693147, rel=1e-5)


def test_reconstruction_loss_is_the_weighted_sum():
    a, b = torch.zeros(2, 1, 4, 4), torch.full((2, 1, 4, 4), 0.5)
    assert reconstruction_loss(a, b, 2.0, 0.0, PlainDistance()).item() == pytest.approx(0.5)
    assert reconstruction_loss(a, b, 2.0, 3.0, PlainDistance()).item() == pytest.approx(0.5 + 1.5)
    # A target that was only enlarged teaches nothing above its own resolution.
    checks = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(1, 1, 2, 2)
    assert reconstruction_loss(checks, torch.zeros(1, 1, 2, 2), 1.0, 1.0, PlainDistance()).item() == 0


@pytest.mark.parametrize("zoom", [0.5, -0.4])
def test_a_mask_survives_the_way_into_the_frame_and_back(zoom):
    labels = torch.zeros(1, 64, 64, dtype=torch.uint8)
    labels[0, 24:40, 26:36] = 1
    frame = FieldOfView(zoom)
    framed = frame.labels(labels, 1)
    assert framed.dtype == torch.uint8
    assert framed.sum().item() == pytest.approx(160 * 2.71828 ** (2 * zoom), rel=0.15)
    back = frame.back(one_hot(framed, 1)).argmax(1)
    assert 2 * (back * labels).sum() / (back.sum() + labels.sum()) > 0.9


def test_what_the_frame_does_not_show_is_background():
    everything = torch.zeros(1, 2, 64, 64)
    everything[:, 1] = 1
    back = FieldOfView(0.7).back(everything).argmax(1)
    seen = back[0].float().mean().item()
    assert seen == pytest.approx(2.71828 ** (-2 * 0.7), rel=0.1), "the middle, as large as the frame"
    assert back[0, 32, 32] == 1 and back[0, 0, 0] == 0


def test_fields_of_view_that_hardly_differ_are_left_alone():
    assert FieldOfView.of(0.05).zoom == FieldOfView.of(-0.05).zoom == 0
    assert FieldOfView.of(0.65).zoom == 0.65
    x = torch.rand(2, 1, 16, 16)
    assert FieldOfView(0.0).images(x, 16) is x


def test_both_domains_in_one_batch_are_encoded_as_each_alone(networks):
    translator, _ = networks
    translator.train()
    before = copy.deepcopy(translator.state_dict())
    first, second = images(), images() + 1
    alone = [translator.encode(batch, domain) for batch, domain in ((first, SOURCE), (second[:2], TARGET))]
    apart = copy.deepcopy(translator.state_dict())
    translator.load_state_dict(before)
    both = translator.encoder(torch.cat([first, second[:2]]), [(SOURCE, len(first)), (TARGET, 2)])
    torch.testing.assert_close(both.latents, torch.cat([part.latents for part in alone]), rtol=1e-4, atol=1e-6)
    for edge, content in both.content.items():
        expected = torch.cat([part.content[edge] for part in alone])
        torch.testing.assert_close(content, expected, rtol=1e-4, atol=1e-5)
    for name, value in translator.state_dict().items():
        torch.testing.assert_close(value, apart[name], rtol=1e-4, atol=1e-6, msg=f"{name}: statistics of each domain")


def test_pointwise_convolutions_are_torchs():
    network = torch.nn.Sequential(torch.nn.Conv2d(5, 4, 1), torch.nn.ReLU(), torch.nn.Conv2d(4, 3, 3, padding=1))
    network.append(torch.nn.Conv2d(3, 2, 1, stride=2, bias=False)).double()
    own, x = with_pointwise(network), torch.randn(3, 5, 8, 8, dtype=torch.float64, requires_grad=True)
    assert [type(layer) is Pointwise for layer in own] == [True, False, False, False], "a stride leaves pixels out"
    assert own.state_dict().keys() == network.state_dict().keys() and type(network[0]) is torch.nn.Conv2d
    weight = torch.randn(3, 2, 4, 4, dtype=torch.float64)
    found, wanted = (torch.autograd.grad((each(x) * weight).sum(), [x, *each.parameters()]) for each in (own, network))
    torch.testing.assert_close(own(x), network(x))
    torch.testing.assert_close(found, wanted)
