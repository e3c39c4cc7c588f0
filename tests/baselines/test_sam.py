"""SAM: prompts, the broadcast decoder, and fine-tuning on M_t."""

import inspect
from dataclasses import asdict
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest
import torch
from segment_anything import build_sam_vit_b

from fedfactory.config.parameters import Schedule, read
from fedfactory.data.store import Volume
from fedfactory.errors import FedFactoryError
from fedfactory.evaluation.dice import dice
from fedfactory.methods.contract import predict_cases
from fedfactory.methods.foundation.model import read_card
from fedfactory.methods.foundation.pretraining import Episodes
from fedfactory.methods.sam import tuning
from fedfactory.methods.sam.model import open_sam, pretrain_sam, read_segmenter, write_decoders
from fedfactory.methods.sam.network import as_read, box_embeddings, boxes_of, build, decode, prompt_embeddings
from fedfactory.methods.sam.oracle import with_truth
from fedfactory.methods.sam.parameters import ORACLE, VIT_B, SamArchitecture, SamParameters, TuningParameters
from fedfactory.methods.sam.tuning import SamSegmenter, segment_tasks, tune
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.checkpoints import Checkpoints
from tests.data.test_preprocessing import prepare

SMALL = SamArchitecture(32, 8, 16, 2, 2, (1,), 2, 16, 32)


@pytest.fixture
def sam(one_thread):
    torch.manual_seed(0)
    return build(SMALL)


@pytest.fixture
def slices():
    return discs()


def discs():
    """Bright and dark discs on grey: images (4, 32, 32) and labels."""
    y, x = np.mgrid[:32, :32]
    stream = np.random.default_rng(0)
    images, labels = stream.normal(0, 0.05, (4, 32, 32)), np.zeros((4, 32, 32), np.uint8)
    for number in range(4):
        for label, grey in ((1, 0.8), (2, -0.8)):
            cy, cx = stream.uniform(8, 24, 2)
            disc = (y - cy) ** 2 + (x - cx) ** 2 < 25
            images[number][disc], labels[number][disc] = grey, label
    return images.clip(-1, 1).astype(np.float32), labels


@pytest.mark.parametrize("prompt", ["full_box", "none", "grid", "boxes"])
def test_many_images_together_equal_the_packages_decoder_one_by_one(sam, slices, prompt):
    embeddings = sam.image_encoder(as_read(slices[0], sam))
    boxes = boxes_of(torch.from_numpy(slices[1] == 1), 32)
    sparse, dense = box_embeddings(sam, boxes) if prompt == "boxes" else prompt_embeddings(sam, prompt)
    together = decode(sam, sam.mask_decoder, embeddings, (sparse, dense), 32)
    for number, image in enumerate(embeddings):
        own = [part[number % len(part)][None] for part in (sparse, dense)]
        masks, _ = sam.mask_decoder(image[None], sam.prompt_encoder.get_dense_pe(), *own, multimask_output=False)
        wanted = sam.postprocess_masks(masks, (32, 32), (32, 32))
        torch.testing.assert_close(together[number], wanted[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("size", [12, 32, 50])
def test_masks_are_enlarged_as_the_package_does(sam, slices, size):
    """Through the encoder's size (32 here), whatever the size of the slices."""
    prompt = prompt_embeddings(sam, "full_box")
    embeddings = sam.image_encoder(as_read(slices[0], sam))
    masks, _ = sam.mask_decoder(embeddings[:1], sam.prompt_encoder.get_dense_pe(), *prompt, multimask_output=False)
    wanted = sam.postprocess_masks(masks, (32, 32), (size, size))
    torch.testing.assert_close(
        decode(sam, sam.mask_decoder, embeddings[:1], prompt, size), wanted, atol=1e-5, rtol=1e-4
    )


def test_medsam_reads_what_it_was_trained_on(slices):
    """Each slice from 0 to 1 by its own limits after cubic resizing, as scikit-image does both, and nothing further."""
    from skimage.transform import resize

    unit = build(SMALL, "unit")
    read = as_read(slices[0], unit)
    low, high = (limit(axis=(1, 2), keepdims=True) for limit in (slices[0].min, slices[0].max))
    np.testing.assert_allclose(read[:, 0].numpy(), (slices[0] - low) / (high - low), atol=1e-6)
    assert as_read(slices[0], build(SMALL)).std() > 2 * read.std()
    small = slices[0][:, ::2, ::2].copy()
    found = as_read(small, unit)[:, 0].numpy()
    assert (found.min((1, 2)) == 0).all() and found.max((1, 2)) == pytest.approx(1)
    for image, own in zip(small, found, strict=True):
        wanted = resize(image, own.shape, order=3, mode="reflect", anti_aliasing=True)
        wanted = (wanted - wanted.min()) / (wanted.max() - wanted.min())
        # Another cubic kernel, and other borders.
        assert np.abs(own - wanted)[3:-3, 3:-3].mean() < 0.05
    flat = as_read(np.full((1, 32, 32), 0.3, np.float32), unit)
    assert not flat.any(), "nothing to scale"


def test_the_full_box_is_the_box_of_an_empty_mask(sam):
    boxes = boxes_of(torch.zeros(1, 16, 16, dtype=torch.bool), 32)
    for own, full in zip(box_embeddings(sam, boxes), prompt_embeddings(sam, "full_box"), strict=True):
        torch.testing.assert_close(own, full)


def test_boxes_in_the_encoders_pixels():
    mask = torch.zeros(1, 16, 16, dtype=torch.bool)
    mask[0, 4:8, 2:12] = True
    assert boxes_of(mask, 16).tolist() == [[2, 4, 11, 7]]
    # Centres of pixels: 2 of 16 is 4.5 of 32.
    assert boxes_of(mask, 32).tolist() == [[4.5, 8.5, 22.5, 14.5]]


def tuned(sam, slices, tmp_path, steps=60, prompt="full_box"):
    p = TuningParameters(
        copies=4, batch=4, learning_rate=0.003, validation="full",
        schedule=Schedule(steps=steps, decay_at=0.7, clip=10.0, ema=0.0, validations=2),
    )  # fmt: skip
    m_t = Volume("few_shot", slices[0][:3], slices[1][:3])
    return tune(sam, m_t, prompt, p, 2, 0, Checkpoints(tmp_path / "work", "x"), Progress("x"))


def test_tuning_learns_each_class_and_leaves_the_network(sam, slices, tmp_path):
    before = {name: value.clone() for name, value in sam.state_dict().items()}
    decoders, history = tuned(sam, slices, tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in sam.state_dict().items())
    first, last = history.losses[0][2], history.losses[-1][2]
    assert last < 0.8 * first
    assert len(decoders) == 2 and list(history.states) == [0, 30, 60]
    assert all(
        torch.equal(value, history.states[60]["decoders"][name]) for name, value in decoders.state_dict().items()
    )


@pytest.mark.parametrize("prompt", ["full_box", "none", "grid"])
def test_the_prompt_of_the_test_is_that_of_the_training(sam, slices, tmp_path, prompt, monkeypatch):
    seen = []
    original = prompt_embeddings
    monkeypatch.setattr(tuning, "prompt_embeddings", lambda s, kind: seen.append(kind) or original(s, kind))
    decoders, _ = tuned(sam, slices, tmp_path, steps=2, prompt=prompt)
    SamSegmenter(sam, decoders, prompt)(slices[0])
    assert set(seen) == {prompt}
    assert "labels" not in inspect.signature(SamSegmenter.__call__).parameters, "nothing of the truth reaches it"


def test_the_oracle_is_told_by_boxes_and_nobody_else_is(sam, slices, tmp_path, monkeypatch):
    seen = []
    original = tuning.box_embeddings
    monkeypatch.setattr(tuning, "box_embeddings", lambda s, boxes: seen.append(boxes) or original(s, boxes))
    decoders, _ = tuned(sam, slices, tmp_path, steps=2, prompt=ORACLE)
    assert 0 < SamSegmenter(sam, decoders, ORACLE).validation_dice([Volume("v", *slices)]) <= 1
    segment, truth = SamSegmenter(sam, decoders, ORACLE), slices[1].copy()
    truth[0][truth[0] == 2] = 0
    seen.clear()
    found = segment.by_oracle(slices[0], truth)
    assert not (found[0] == 2).any(), "no box, no mask"
    torch.testing.assert_close(seen[0][:4], boxes_of(torch.from_numpy(truth == 1), 32))
    one = segment.by_oracle(slices[0][1:2], truth[1:2])
    np.testing.assert_array_equal(one[0], found[1])
    with pytest.raises(ValueError, match="oracle_box"):
        segment(slices[0])
    with pytest.raises(ValueError, match="this one is 'none'"):
        SamSegmenter(sam, decoders, "none").by_oracle(slices[0], truth)


def test_the_oracles_truth_lies_on_the_slices_of_the_store(sam, make_site, tmp_path):
    view, truth = prepare(make_site(10), tmp_path / "store"), tmp_path / "store/truth"
    volume, *_ = view.test_volumes()
    asked = []
    segment = SimpleNamespace(prompt=ORACLE, by_oracle=lambda images, labels: asked.append(labels) or labels)
    predict_cases(view, with_truth(segment, view, truth), tmp_path / "out", Progress("x"))
    assert asked[0].shape == volume.images.shape and asked[0].dtype == np.uint8
    wanted = nibabel.load(truth / f"{volume.name}_truth.nii.gz").get_fdata()
    back = nibabel.load(tmp_path / "out" / f"{volume.name}.nii.gz").get_fdata()
    assert wanted.any() and dice(back == 1, wanted == 1) > 0.95
    with pytest.raises(FedFactoryError, match="tuned with the prompt 'none'"):
        with_truth(SamSegmenter(sam, sam.mask_decoder, "none"), view, truth)


def test_a_slice_gets_the_same_mask_in_any_batch(sam, slices, tmp_path):
    decoders, _ = tuned(sam, slices, tmp_path, steps=5)
    segment = SamSegmenter(sam, decoders, "full_box")
    together = segment(slices[0])
    for number, image in enumerate(slices[0]):
        np.testing.assert_array_equal(segment(image[None])[0], together[number])


def test_pretraining_prompts_are_drawn_and_inference_has_boxes(sam, slices):
    images, labels = (torch.from_numpy(part) for part in slices)
    tasks = Episodes(((images + 1) / 2)[:, None, None], (labels == 1).float()[:, None, None])
    draws = [segment_tasks(sam, tasks, torch.Generator().manual_seed(seed))[0] for seed in range(6)]
    full = decode(
        sam, sam.mask_decoder, sam.image_encoder(as_read(images, sam)), prompt_embeddings(sam, "full_box"), 32
    )
    same = [torch.allclose(draw, full, atol=1e-5) for draw in draws]
    assert 0 < sum(same) < 6
    first, masks = segment_tasks(sam, tasks, None)
    torch.testing.assert_close(first, segment_tasks(sam, tasks, None)[0])
    assert torch.equal(masks[:, 0] > 0.5, labels == 1)


def test_held_out_tasks_can_be_judged_without_boxes(sam, slices):
    images, labels = (torch.from_numpy(part) for part in slices)
    tasks = Episodes(((images + 1) / 2)[:, None, None], (labels == 1).float()[:, None, None])
    embeddings = sam.image_encoder(as_read(images, sam))
    wanted = decode(sam, sam.mask_decoder, embeddings, prompt_embeddings(sam, "full_box"), 32)
    torch.testing.assert_close(segment_tasks(sam, tasks, None, "full_box")[0], wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_from_pretraining_to_a_segmenter_on_disk(slices, tmp_path, one_thread):
    pretraining = {
        "families": ["outlines"], "acquired": False, "pool": 4, "samples": 1, "batch": 2, "learning_rate": 0.001,
        "schedule": {"steps": 2, "decay_at": 1, "clip": 1, "ema": 0, "validations": 1}, "held_out": 2,
    }  # fmt: skip
    tuning_ = {
        "copies": 2,
        "batch": 2,
        "learning_rate": 0.001,
        "schedule": pretraining["schedule"],
        "validation": "none",
    }
    values = {"weights": "procedural-tiny", "prompt": "full_box", "pretraining": pretraining, "tuning": tuning_}
    first = read(SamParameters, {**values, "architecture": asdict(SMALL)}, "p")
    second = read(SamParameters, {**values, "start": "sam", "normalisation": "unit"}, "p")
    for p, start, name in ((first, None, "sam"), (second, tmp_path / "sam", "medsam")):
        pretrain_sam(p, start, 0, "cpu", Checkpoints(tmp_path / "w", name), tmp_path / name, Progress("x"))
    dice = read_card(tmp_path / "medsam")["held_out_dice"]
    assert set(dice) == {"as_trained", "full_box"} and set(dice["full_box"]) == {"before", "after"}
    sam = open_sam(tmp_path / "medsam", "unit", "cpu")
    decoders, history = tuned(sam, slices, tmp_path, steps=2)
    (tmp_path / "model").mkdir()
    write_decoders(tmp_path / "model", decoders, history, prompt="full_box", normalisation="unit")
    segment = read_segmenter(tmp_path / "model", tmp_path / "medsam", "cpu")
    np.testing.assert_array_equal(segment(slices[0]), SamSegmenter(sam, decoders, "full_box")(slices[0]))
    for step, state in history.states.items():
        decoders.load_state_dict(state["decoders"])
        kept = read_segmenter(tmp_path / "model", tmp_path / "medsam", "cpu", step)
        np.testing.assert_array_equal(kept(slices[0]), SamSegmenter(sam, decoders, "full_box")(slices[0]))
    with pytest.raises(FedFactoryError, match="holds no fine-tuned decoders"):
        read_segmenter(tmp_path / "sam" / "none", tmp_path / "sam", "cpu")


def test_the_published_network_is_the_packages_own():
    with torch.device("meta"):
        ours, theirs = build(VIT_B).state_dict(), build_sam_vit_b().state_dict()
    assert {name: value.shape for name, value in ours.items()} == {name: value.shape for name, value in theirs.items()}
