"""Images and label maps at another size."""

import numpy as np
import pytest
import torch

from fedfactory.training.batches import batches, resize, resize_labels


def test_a_pixel_gets_the_label_with_the_largest_share():
    labels = np.zeros((1, 4, 4), np.uint8)
    labels[0, :2, :2] = [[1, 1], [1, 2]]
    labels[0, 2:, 2:] = [[2, 0], [2, 2]]
    labels[0, 0, 2] = 3
    assert resize_labels(labels, 2).tolist() == [[[1, 0], [0, 2]]]
    assert resize_labels(labels, 4) is labels
    assert resize_labels(np.zeros((2, 4, 4), np.uint8), 2).shape == (2, 2, 2)


def test_labels_shrink_as_their_images_do():
    """Of one class, the map at half the size is where the mean of the mask exceeds one half."""
    mask = (np.random.default_rng(0).random((3, 12, 12)) < 0.5).astype(np.uint8)
    means = resize(torch.from_numpy(mask.astype(np.float32))[:, None], 6)[:, 0].numpy()
    np.testing.assert_array_equal(resize_labels(mask, 6) == 1, means > 0.5)


@pytest.mark.parametrize(
    ("count", "edge", "parts"), [(10, 64, [5, 5]), (8, 64, [8]), (17, 64, [6, 6, 5]), (3, 512, [1] * 3)]
)
def test_batches_are_few_and_equal_and_hold_every_image_once(count, edge, parts):
    images = torch.arange(count).float()[:, None, None, None].expand(-1, 1, edge, edge)
    found = list(batches(images))
    assert [number for _, number in found] == parts
    assert {len(batch) for batch, _ in found} == {parts[0]}, "the last one is filled up"
    assert torch.equal(torch.cat([batch[:number] for batch, number in found]), images)
