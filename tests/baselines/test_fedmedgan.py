"""FedMed-GAN: what reaches a generator through the other site's discriminator."""

import copy

import pytest
import torch

from fedfactory.errors import FedFactoryError
from fedfactory.federation.client import TRAIN
from fedfactory.federation.message import WEIGHTS, Allowlist
from fedfactory.federation.server import Rounds
from fedfactory.methods.fedmedgan.client import GRADIENT, TRANSLATED, FedMedGanClient, phases_of
from fedfactory.methods.fedmedgan.networks import TO_SOURCE, TO_TARGET, make_generators
from fedfactory.methods.fedmedgan.parameters import FedMedGanParameters
from fedfactory.methods.fedmedgan.privacy import sanitised
from fedfactory.methods.fedmedgan.server import FedMedGanServer, initial_weights
from fedfactory.methods.fedmedgan.training import TranslatingSegmenter

CLIENTS = ("near", "far")
TRANSLATE, JUDGE, _ = phases_of(1)


def parameters(**values) -> FedMedGanParameters:
    standard = {
        "base": "nnunet", "width": 4, "downsamplings": 1, "blocks": 1, "layers": 2, "rounds": 3, "local_steps": 1,
        "batch": 3, "learning_rate": 0.01, "cycle": 0.0, "identity": 0.0, "clip": 1.0, "noise": 0.0,
        "checkpoint_every": 1, "deadline": 60,
    }  # fmt: skip
    return FedMedGanParameters(**standard | values)


def client(name: str, p: FedMedGanParameters, seed: int = 0) -> FedMedGanClient:
    images = torch.rand(5, 1, 16, 16, generator=torch.Generator().manual_seed(CLIENTS.index(name))) * 2 - 1
    return FedMedGanClient(name, CLIENTS, images, p, seed, "cpu")


@pytest.fixture
def small(one_thread):
    return parameters()


def test_gradients_are_clipped_and_noise_has_the_stated_variance():
    stream = torch.Generator().manual_seed(0)
    gradient = torch.randn(400, 1, 16, 16, generator=stream) * torch.logspace(-4, 1, 400)[:, None, None, None]
    clipped = sanitised(gradient, 0.5, 0.0, stream)
    norms, before = clipped.flatten(1).norm(dim=1), gradient.flatten(1).norm(dim=1)
    torch.testing.assert_close(norms, before.clamp(max=0.5), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(clipped[before < 0.5], gradient[before < 0.5])
    noise = sanitised(gradient, 0.5, 1.07, stream) - clipped
    assert noise.var().item() == pytest.approx((1.07 * 0.5) ** 2, rel=0.02)
    assert noise.mean().item() == pytest.approx(0, abs=0.01)
    per_image = noise.flatten(1).var(dim=1)
    assert per_image.min() > 0.15, "every image's gradient is noisy, large or small"


def test_the_sanitised_gradient_is_what_reaches_the_generator(small):
    """With neither cycle nor identity, the generator's gradient is the vector-Jacobian product with the message."""
    near, weights = client("near", small), initial_weights(small, 0)
    translated = near.answer(0, TRANSLATE, {WEIGHTS: weights})[0][TRANSLATED][TRANSLATED]
    message = torch.randn(translated.shape, generator=torch.Generator().manual_seed(3))
    twin = make_generators(small)
    twin.load_state_dict(weights)
    found = twin[TO_TARGET](near._batch)
    torch.testing.assert_close(found.detach(), translated)
    found.backward(message / len(message))
    near._discriminator_loss = near._gradient_norm = 0.0
    near.answer(0, TRAIN, {GRADIENT: {GRADIENT: message}})
    for own, expected in zip(near._generators[TO_TARGET].parameters(), twin[TO_TARGET].parameters(), strict=True):
        torch.testing.assert_close(own.grad, expected.grad, rtol=1e-4, atol=1e-5)
    assert all(not x.grad.any() for x in near._generators[TO_SOURCE].parameters() if x.grad is not None)


def test_each_image_is_judged_as_if_it_were_alone(small):
    """Clipping is of one image's gradient: it may not depend on how many others are in the batch."""
    far = client("far", small)
    far.answer(0, TRANSLATE, {WEIGHTS: initial_weights(small, 0)})
    images = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    judged = far._judge(images, torch.Generator())
    for image, gradient in zip(images, judged, strict=True):
        alone = image[None].detach().requires_grad_(True)
        (far._discriminator(alone) - 1).square().mean().backward()
        torch.testing.assert_close(gradient, alone.grad[0])


def test_noise_at_the_discriminator_is_noise_at_the_generator(one_thread):
    """Two judgements of the same images differ by the noise alone, and what they teach differs as well."""
    taught = []
    for noise in (0.0, 1.0):
        p = parameters(noise=noise)
        near, far, weights = client("near", p), client("far", p), initial_weights(p, 0)
        messages = [x.answer(0, TRANSLATE, {WEIGHTS: weights})[0] for x in (near, far)]
        judged = far.answer(0, JUDGE, messages[0])[0]
        near.answer(0, JUDGE, messages[1])
        near.answer(0, TRAIN, judged)
        taught.append((judged[GRADIENT][GRADIENT], near._generators[TO_TARGET].layers[0].weight.grad.clone()))
    difference = taught[1][0] - taught[0][0]
    assert difference.std().item() == pytest.approx(1.0, rel=0.1)
    assert not torch.allclose(taught[0][1], taught[1][1])


@pytest.mark.parametrize("steps", [1, 3])
def test_messages_go_to_the_other_client_and_models_to_both(one_thread, steps):
    p = parameters(local_steps=steps)
    weights, batch = initial_weights(p, 0), torch.zeros(3, 1, 16, 16)
    allowlist = Allowlist.of(CLIENTS, **{WEIGHTS: weights, TRANSLATED: batch, GRADIENT: batch})
    server = FedMedGanServer(Rounds(CLIENTS, 3, 2, 1, 60, "key", ""), weights, allowlist, 0, steps)
    clients = [client(name, p) for name in CLIENTS]
    answers, before = {}, None
    for phase in server.phases:
        sent = [server.message(phase, i, answers) for i in range(2)]
        answers[phase] = {i: clients[i].answer(0, phase, sent[i])[0] for i in range(2)}
        for message in (*sent, *answers[phase].values()):
            allowlist.check(message)
        if before is None:
            assert all(set(message) == {WEIGHTS} for message in sent)
        else:
            assert sent[0] is answers[before][1] and sent[1] is answers[before][0]
        before = phase
    assert len(server.phases) == 2 * steps + 1
    server.accept({i: answer[WEIGHTS] for i, answer in answers[TRAIN].items()})
    first, second = (answers[TRAIN][i][WEIGHTS] for i in range(2))
    name = next(iter(first))
    torch.testing.assert_close(server.weights[name], (first[name] + second[name]) / 2)
    assert all(name.startswith((TO_TARGET, TO_SOURCE)) for name in server.weights), "discriminators stay"


def test_steps_of_a_round_train_like_steps_of_many(one_thread):
    """A client that is alone with what it gets: three steps in one round are three steps."""
    p = parameters(local_steps=3, cycle=1.0)
    near, message = client("near", p), {WEIGHTS: initial_weights(p, 0)}
    gradient = torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(3))
    for phase in phases_of(3):
        if phase.startswith("judge"):
            near._discriminator_loss = near._gradient_norm = 0.0
            continue
        answer, losses = near.answer(0, phase, message)
        assert (losses is not None) == (phase == TRAIN)
        message = {GRADIENT: {GRADIENT: gradient}}
    assert near._adams["generators"].state_dict()["state"][0]["step"] == 3


def test_a_resumed_client_goes_on_with_the_same_numbers(small):
    def run(p, restart):
        near, far, weights = client("near", p), client("far", p), initial_weights(p, 0)
        for number in range(3):
            if number == restart:
                saved = copy.deepcopy((near.state_dict(), far.state_dict()))
                near, far = client("near", p), client("far", p)
                near.load_state_dict(saved[0])
                far.load_state_dict(saved[1])
            translated = [x.answer(number, TRANSLATE, {WEIGHTS: weights})[0] for x in (near, far)]
            judged = [near.answer(number, JUDGE, translated[1])[0], far.answer(number, JUDGE, translated[0])[0]]
            weights = near.answer(number, TRAIN, judged[1])[0][WEIGHTS]
            far.answer(number, TRAIN, judged[0])
        return weights

    p = parameters(noise=0.5, cycle=10.0, identity=10.0)
    whole, resumed = run(p, None), run(p, 2)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_slices_are_translated_alone_and_segmented_together(small):
    import numpy as np

    seen = []

    def segment(images):
        seen.append(images)
        return np.zeros(images.shape, np.uint8)

    images = np.random.default_rng(0).uniform(-1, 1, (4, 16, 16)).astype(np.float32)
    translating = TranslatingSegmenter(make_generators(small)[TO_SOURCE].eval(), segment, "cpu")
    translating(images)
    np.testing.assert_allclose(seen[0][2], translating.translate(images[2:3])[0], atol=1e-5)
    np.testing.assert_array_equal(seen[0][2], translating.translate(images[::-1])[1])


def test_images_that_cannot_be_halved_are_refused(tmp_path):
    from fedfactory.methods.federated.cell import FederatedCell
    from fedfactory.methods.fedmedgan.training import train_fedmedgan
    from fedfactory.orchestration.progress import Progress

    p = {**parameters(downsamplings=3).__dict__}
    task = FederatedCell(
        "methods.fedmedgan.parameters", p, {"near": "a", "far": "b"}, 0, "cpu", "x",
        tmp_path / "work", 2, tmp_path,
    )  # fmt: skip
    with pytest.raises(FedFactoryError, match="images of 20 pixels cannot be halved 3 times"):
        train_fedmedgan(task, 20, tmp_path / "model", Progress("x"))
