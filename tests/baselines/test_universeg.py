"""UniverSeg's network against its published list of parameters and the mathematics of its paper."""

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from fedfactory.data.store import Volume
from fedfactory.errors import FedFactoryError
from fedfactory.methods.universeg.model import open_universeg
from fedfactory.methods.universeg.network import CrossBlock, UniverSeg
from fedfactory.methods.universeg.segmenter import SupportSet, UniverSegSegmenter

PUBLISHED = Path(__file__).with_name("universeg_v1_parameters.csv")


@pytest.fixture
def stream():
    return torch.Generator().manual_seed(0)


def test_parameters_are_the_published_ones():
    with PUBLISHED.open(newline="") as file:
        published = {row["parameter"]: tuple(map(int, row["shape"].split("x"))) for row in csv.DictReader(file)}
    ours = {name: tuple(value.shape) for name, value in UniverSeg().state_dict().items()}
    assert ours == published
    assert sum(torch.Size(shape).numel() for shape in ours.values()) == 1_182_785


def concatenated(block, target, support):
    """A cross block as its paper states it: a convolution of every pair, stacked along the channels."""
    weights = block.cross.cross_conv.weight, block.cross.cross_conv.bias
    pairs = [
        functional.conv2d(torch.cat([target, support[:, i].expand(len(target), -1, -1, -1)], 1), *weights, padding=1)
        for i in range(support.shape[1])
    ]
    interaction = torch.stack(pairs, 1)
    return block.target(interaction.mean(1)), torch.stack([block.support(x) for x in interaction.unbind(1)], 1)


@pytest.mark.parametrize("support_batch", [1, 2])
def test_split_cross_convolution_equals_the_concatenated_one(stream, support_batch):
    block = CrossBlock((3, 5), 4).double()
    target = torch.randn(2, 3, 9, 8, generator=stream, dtype=torch.float64)
    support = torch.randn(support_batch, 4, 5, 9, 8, generator=stream, dtype=torch.float64)
    expected_target, expected_support = concatenated(block, target, support)
    found_target, found_support = block(target, support, support_is_read=True)
    torch.testing.assert_close(found_target, expected_target)
    torch.testing.assert_close(found_support, expected_support)
    alone, nothing = block(target, support, support_is_read=False)
    torch.testing.assert_close(alone, expected_target)
    assert nothing is None


def test_network_equals_the_concatenated_one(stream, monkeypatch):
    network = UniverSeg((4, 6, 8)).double()
    target = torch.rand(2, 1, 16, 16, generator=stream, dtype=torch.float64)
    images, labels = torch.rand(2, 3, 1, 16, 16, generator=stream, dtype=torch.float64)
    labels = (labels > 0.5).double()
    found = network(target, images, labels)
    monkeypatch.setattr(CrossBlock, "forward", lambda block, t, s, support_is_read: concatenated(block, t, s))
    torch.testing.assert_close(found, network(target, images, labels))


def test_order_of_the_support_set_does_not_matter(stream):
    network = UniverSeg((4, 6)).double()
    target = torch.rand(1, 1, 8, 8, generator=stream, dtype=torch.float64)
    images = torch.rand(5, 1, 8, 8, generator=stream, dtype=torch.float64)
    labels = (torch.rand(5, 1, 8, 8, generator=stream) > 0.5).double()
    order = torch.tensor([3, 0, 4, 1, 2])
    torch.testing.assert_close(network(target, images, labels), network(target, images[order], labels[order]))
    assert not torch.allclose(network(target, images, labels), network(target, images, labels[order])), "labels count"


def test_shared_support_equals_one_for_each_target(stream):
    network = UniverSeg((4, 6)).double()
    target = torch.rand(3, 1, 8, 8, generator=stream, dtype=torch.float64)
    images = torch.rand(2, 1, 8, 8, generator=stream, dtype=torch.float64)
    labels = images.round()
    each = [x.expand(3, -1, -1, -1, -1) for x in (images, labels)]
    torch.testing.assert_close(network(target, images, labels), network(target, *each))


def test_the_support_set_is_m_t_at_the_networks_size():
    images, labels = np.full((2, 8, 8), -1, np.float32), np.zeros((2, 8, 8), np.uint8)
    images[0], labels[0, :2, :2], labels[1, 0, 0] = 1, 1, 2
    support = SupportSet.of(Volume("few_shot", images, labels), 2, 4, "cpu")
    assert support.images.shape == (2, 1, 4, 4) and support.masks.shape == (2, 2, 1, 4, 4)
    assert support.images[0].eq(1).all() and support.images[1].eq(0).all(), "between 0 and 1"
    assert support.masks[0, 0, 0].nonzero().tolist() == [[0, 0]], "four of four pixels"
    assert not support.masks[1].any(), "one of four pixels is less than the half"


def test_a_pixel_gets_the_largest_class_above_one_half():
    """One pass for each class, whose masks alone differ; a stand-in says where each class is."""

    def network(batch, images, masks):
        return (masks.mean((0, 1))[None, None] - 0.5).expand(len(batch), 1, -1, -1)

    network.eval = lambda: None
    masks = torch.zeros(2, 4, 1, 4, 4)
    masks[0, :3, :, :2], masks[1, :, :, 1:3] = 1, 1
    support = SupportSet(torch.zeros(4, 1, 4, 4), masks)
    found = UniverSegSegmenter(network, support, 4)(np.zeros((5, 4, 4), np.float32))
    assert found.shape == (5, 4, 4) and found.dtype == np.uint8
    assert found[4].tolist() == [[1] * 4, [2] * 4, [2] * 4, [0] * 4]


def test_a_slice_gets_the_same_mask_in_any_batch(stream, one_thread):
    torch.manual_seed(0)
    images = torch.rand(5, 16, 16, generator=stream).numpy() * 2 - 1
    support = SupportSet.of(Volume("few_shot", images[:2], (images[:2] > 0).astype(np.uint8)), 1, 16, "cpu")
    segment = UniverSegSegmenter(UniverSeg((4, 4)).eval(), support, 16)
    together = segment(images)
    assert 0 < together.mean() < 1
    for number, image in enumerate(images):
        np.testing.assert_array_equal(segment(image[None])[0], together[number])


def test_a_file_of_the_published_form_is_loaded(tmp_path):
    torch.manual_seed(0)
    network = UniverSeg()
    torch.save(network.state_dict(), tmp_path / "universeg.pt")
    loaded = open_universeg(tmp_path / "universeg.pt", "cpu")
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in loaded.state_dict().items())
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    torch.save({**network.state_dict(), "extra.weight": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(FedFactoryError, match="other.pt has unexpected extra.weight: it belongs to another model"):
        open_universeg(tmp_path / "other.pt", "cpu")
