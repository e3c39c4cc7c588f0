"""The mean mask of M_t at known values."""

import numpy as np

from fedfactory.methods.mean_mask.model import mean_mask


def test_pixels_of_half_of_the_slices_and_the_likelier_class():
    labels = np.zeros((4, 2, 3), np.uint8)
    labels[:2, 0, 0] = 1
    labels[0, 0, 1] = 1
    labels[:3, 1, 0], labels[3, 1, 0] = 2, 1
    labels[:2, 1, 1], labels[2:, 1, 1] = 1, 2
    assert mean_mask(labels, 2).tolist() == [[1, 0, 0], [2, 1, 0]], "of equals the first"


def test_a_class_that_no_pixel_has_in_half_of_the_slices_is_where_it_is_most_often():
    labels = np.zeros((5, 1, 3), np.uint8)
    labels[:2, 0, 0] = labels[4, 0, 1] = 1
    assert mean_mask(labels, 2).tolist() == [[1, 0, 0]], "and one that is nowhere stays away"
