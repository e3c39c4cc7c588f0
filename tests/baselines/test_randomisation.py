"""Domain randomisation of nnU-Net's training images: GIN and SynthSeg's images from labels."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from fedfactory.evaluation.dice import mean_foreground_dice
from fedfactory.methods.nnunet._randomisation import Gin, Look, SynthSeg, drawn, regions_of, through_layers
from fedfactory.methods.nnunet.inference import load_segmenter
from fedfactory.methods.nnunet.planning import plan
from tests.baselines.test_nnunet import CLASSES, TRAIN, VALIDATION, Recorder, blob, source, train


def test_gin_is_a_shallow_network_mixed_with_the_image_at_its_norm():
    """Written anew with scipy's correlation, sum by sum."""
    stream = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=stream)  # noqa: E731
    layers = [(draw(2, 1, 3, 3), draw(2)), (draw(2, 2, 1, 1), draw(2)), (draw(1, 2, 3, 3), draw(1))]
    image = draw(1, 12, 9)
    maps = [image[0].double().numpy()]
    for number, (kernels, shifts) in enumerate(layers):
        maps = [np.where(x > 0, x, 0.01 * x) for x in maps] if number else maps
        maps = [
            sum(ndimage.correlate(x, k.double().numpy(), mode="constant") for x, k in zip(maps, own, strict=True))
            + float(shift)
            for own, shift in zip(kernels, shifts, strict=True)
        ]
    mixed = 0.3 * maps[0] + 0.7 * image[0].double().numpy()
    expected = mixed / np.linalg.norm(mixed) * np.linalg.norm(image[0].double().numpy())
    np.testing.assert_allclose(through_layers(image, layers, 0.3)[0].numpy(), expected, atol=1e-5)
    torch.testing.assert_close(through_layers(image, layers, 0.0), image)
    nothing = torch.zeros(1, 4, 4)
    assert torch.equal(through_layers(nothing, [(draw(1, 1, 1, 1), torch.zeros(1))], 0.5), nothing)


def test_gin_draws_another_network_for_every_image():
    np.random.seed(0)
    image, labels = torch.randn(1, 16, 16, generator=torch.Generator().manual_seed(0)), torch.zeros(1, 16, 16)
    found = [Gin()(image=image.clone(), segmentation=labels) for _ in range(30)]
    assert all(torch.equal(one["segmentation"], labels) for one in found)
    norms = torch.stack([torch.linalg.vector_norm(one["image"]) for one in found])
    torch.testing.assert_close(norms, torch.linalg.vector_norm(image).expand(30))
    likeness = [float(torch.corrcoef(torch.stack([image.flatten(), one["image"].flatten()]))[0, 1]) for one in found]
    assert min(likeness) < -0.2 and max(likeness) > 0.9, "some contrasts are turned round, some hardly change"


def test_a_background_falls_into_regions_of_like_grey_values():
    image = torch.tensor([[0.0, 0.1, 5.0, 5.1], [9.0, 9.1, 0.2, 7.0]])
    labels = torch.tensor([[0, 0, 0, 0], [0, -1, 2, 1]])
    assert regions_of(image, labels, 3).tolist() == [[0, 0, 1, 1], [2, -1, 4, 3]], "dark ones first, then the classes"
    assert regions_of(image, labels, 1).tolist() == [[0, 0, 0, 0], [0, -1, 2, 1]]
    assert regions_of(image, torch.ones_like(labels), 3).tolist() == [[3] * 4] * 2, "no background"
    mostly_air = torch.cat([torch.zeros(2, 20), image], 1)
    found = regions_of(mostly_air, torch.zeros(2, 24, dtype=torch.int64), 3)
    assert found[:, 20:].tolist() == [[0, 0, 1, 1], [2, 2, 0, 2]], "however many pixels are air"


def test_an_image_is_drawn_from_its_regions():
    regions = torch.tensor([[0, 0, 1], [2, 2, 1]])
    still = Look(torch.tensor([0.2, 0.8, 0.5]), torch.zeros(3), torch.ones(2, 3), torch.zeros(2, 3))
    grey = np.array([[0.2, 0.2, 0.8], [0.5, 0.5, 0.8]])
    expected = (grey - grey.mean()) / grey.std(ddof=1)
    np.testing.assert_allclose(drawn(regions, still).numpy(), expected, atol=1e-6)
    noisy = Look(still.means, torch.tensor([0.0, 0.1, 0.2]), torch.full((2, 3), 2.0), torch.full((2, 3), 0.5))
    grey = (np.array([[0.2, 0.2, 1.0], [0.9, 0.9, 1.0]])) * np.exp(0.5)
    np.testing.assert_allclose(
        drawn(regions, noisy).numpy(), (grey - grey.mean()) / grey.std(ddof=1), atol=1e-6, err_msg="noise, then bias"
    )
    around = torch.tensor([[0, 0, 1], [2, -1, 1]])
    inside = np.array([0.2, 0.2, 0.8, 0.5, 0.8])
    found = drawn(around, still).numpy()
    assert found[1, 1] == 0, "as nnU-Net fills up"
    np.testing.assert_allclose(found[around >= 0], (inside - inside.mean()) / inside.std(ddof=1), atol=1e-6)
    assert not drawn(torch.full((2, 3), -1), still).any()


def test_synthseg_takes_nothing_but_regions_from_an_image():
    """The same regions with other grey values in the same order: the same images."""
    torch.manual_seed(0)
    image = torch.rand(1, 16, 16)
    labels = (torch.rand(1, 16, 16) > 0.7).float()
    bright = torch.where(labels > 0, 50.0, image)
    for seed in range(5):
        one, two = (
            (np.random.seed(seed), SynthSeg()(image=given.clone(), segmentation=labels))[1] for given in (image, bright)
        )
        assert torch.equal(one["image"], two["image"]) and torch.equal(one["segmentation"], labels)
        assert one["image"].shape == image.shape and abs(float(one["image"].mean())) < 1e-5


@pytest.mark.slow
def test_randomised_trainings_read_a_contrast_that_the_source_does_not_have(tmp_path):
    """Blobs that are bright at the source and dark at the target."""
    plan(TRAIN, VALIDATION, CLASSES, tmp_path / "plan")
    other = blob("other", 90)
    turned, dice = (-other.images).astype(np.float32), {}
    for kind in ("none", "gin", "synthseg"):
        parameters = source(randomisation=kind, epochs=6, iterations_per_epoch=20, momentum=0.9, initial_lr=0.05)
        train(tmp_path / "plan", parameters, 3, "cpu", tmp_path / kind, Recorder())
        segment = load_segmenter(tmp_path / kind, "cpu", test_time_mirroring=False)
        dice[kind] = mean_foreground_dice(segment(turned), other.labels, len(CLASSES))
        assert mean_foreground_dice(segment(other.images), other.labels, len(CLASSES)) > 0.7, kind
    assert min(dice["gin"], dice["synthseg"]) > dice["none"] + 0.2, dice
