"""Self-training of the source's nnU-Net at a target: terms of the loss, what learns, and what comes of it."""

import copy
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fedfactory.config.parameters import read
from fedfactory.data.store import ClientView
from fedfactory.errors import FedFactoryError
from fedfactory.evaluation.dice import mean_foreground_dice
from fedfactory.methods.contract import Fit
from fedfactory.methods.nnunet.inference import load_segmenter, network_of
from fedfactory.methods.nnunet.model import read_model
from fedfactory.methods.nnunet.planning import plan
from fedfactory.methods.selftraining.objectives import (
    entropy,
    entropy_of_mean,
    pseudo_label_loss,
)
from fedfactory.methods.selftraining.parameters import SelfTrainingParameters
from fedfactory.methods.selftraining.training import Slices, fit, train, trained_parameters
from fedfactory.orchestration.labels import NONE, Labels
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.checkpoints import Checkpoints
from fedfactory.training.losses import faded_in
from tests.adaptation.conftest import write_discs
from tests.baselines.test_nnunet import CLASSES, TRAIN, VALIDATION, Case, Recorder, blob, few_shot, source
from tests.baselines.test_nnunet import train as train_nnunet
from tests.conftest import KillAt, Killed

SCHEDULE = {"steps": 6, "decay_at": 0.7, "clip": 1.0, "ema": 0.5, "validations": 1}
MEAN_TEACHER = {
    "base": "nnunet",
    "trained": "all",
    "batch": {"labelled": 2, "unlabelled": 2},
    "copies": 4,
    "jitter": 0.3,
    "learning_rate": 0.01,
    "weights": {"labelled": 1.0, "consistency": 1.0},
    "ramp": 0.5,
    "schedule": SCHEDULE,
}
WITHOUT_LABELS = {
    **{key: MEAN_TEACHER[key] for key in ("base", "learning_rate", "schedule", "jitter")},
    "batch": {"labelled": 0, "unlabelled": 3},
}
KINDS = {
    "mean teacher": MEAN_TEACHER,
    "information": {**WITHOUT_LABELS, "trained": "features", "weights": {"entropy": 1.0, "diversity": 1.0}},
    "entropy": {**WITHOUT_LABELS, "trained": "affine", "weights": {"entropy": 1.0}},
    "pseudo-labels": {**WITHOUT_LABELS, "trained": "all", "weights": {"pseudo_labels": 1.0}, "confidence": 0.9},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An nnU-Net of bright blobs."""
    folder = tmp_path_factory.mktemp("source")
    plan(TRAIN, VALIDATION, CLASSES, folder / "plan")
    parameters = source(epochs=4, iterations_per_epoch=20, momentum=0.9, initial_lr=0.05)
    train_nnunet(folder / "plan", parameters, 3, "cpu", folder / "model", Recorder())
    return folder / "model"


def parameters(kind: str, **changes: object) -> SelfTrainingParameters:
    return read(SelfTrainingParameters, {**KINDS[kind], **changes}, "methods.x")


def probabilities(*pixels: tuple[float, ...]) -> torch.Tensor:
    """(1, classes + 1, 1, pixels)."""
    return torch.tensor(pixels).T[None, :, None]


def test_entropies_have_their_known_values():
    sure, even = (1.0, 0.0, 0.0), (1 / 3, 1 / 3, 1 / 3)
    assert float(entropy(probabilities(sure, sure))) == pytest.approx(0, abs=1e-6)
    assert float(entropy(probabilities(sure, even))) == pytest.approx(math.log(3) / 2)
    assert float(entropy_of_mean(probabilities(sure, sure))) == pytest.approx(0, abs=1e-6)
    assert float(entropy_of_mean(probabilities(sure, (0.0, 1.0, 0.0)))) == pytest.approx(math.log(2))
    assert faded_in(0, 100, 0.5) == pytest.approx(math.exp(-5), abs=1e-6) and faded_in(0, 100, 0.0) == 1
    assert faded_in(25, 100, 0.5) == pytest.approx(math.exp(-1.25), abs=1e-6) and faded_in(50, 100, 0.5) == 1


def test_only_sure_labels_of_the_teacher_teach():
    logits = torch.log(probabilities((0.7, 0.3), (0.2, 0.8), (0.4, 0.6)))
    teacher = probabilities((0.95, 0.05), (0.1, 0.9), (0.55, 0.45))
    expected = -(math.log(0.7) + math.log(0.8)) / 2
    assert float(pseudo_label_loss(logits, teacher, 0.9)) == pytest.approx(expected)
    assert float(pseudo_label_loss(logits, teacher, 0.99)) == 0, "nobody is sure"
    everyone = -(math.log(0.7) + math.log(0.8) + math.log(0.4)) / 3
    assert float(pseudo_label_loss(logits, teacher, 0.0)) == pytest.approx(everyone)


def test_parts_of_the_network_learn(model: Path):
    network = network_of(read_model(model), "cpu")
    names = {id(parameter): name for name, parameter in network.named_parameters()}

    def learning(which: str) -> set[str]:
        return {names[id(parameter)] for parameter in trained_parameters(network, which)}

    assert learning("all") == set(names.values())
    assert {name for name in learning("all") - learning("features")} == {
        name for name in names.values() if ".seg_layers." in name
    }
    norms = {name for name, module in network.named_modules() if isinstance(module, nn.InstanceNorm2d)}
    assert learning("affine") == {f"{name}.{part}" for name in norms for part in ("weight", "bias")} & set(
        names.values()
    )
    assert len(learning("affine")) >= 2 * 3


def test_slices_are_read_as_the_prediction_reads_them(model: Path):
    """nnU-Net's own normalisation, and from the network's logits the masks of its predictor."""
    from nnunetv2.preprocessing.normalization.default_normalization_schemes import ZScoreNormalization

    cases = [blob("a", 5), blob("b", 6, slices=3)]
    slices = Slices.of(case.images for case in cases)
    found = slices.read(torch.arange(9), 0.0, torch.Generator()).numpy()[:, 0]
    scheme = ZScoreNormalization(use_mask_for_norm=False, intensityproperties={})
    expected = [scheme.run(case.images[None].copy())[0] for case in cases]
    np.testing.assert_allclose(found, np.concatenate(expected), atol=1e-5)
    with torch.no_grad():
        logits = network_of(read_model(model), "cpu").eval()(torch.from_numpy(found[:6])[:, None])
    masks = load_segmenter(model, "cpu", test_time_mirroring=False)(cases[0].images)
    assert (logits.argmax(1).numpy() == masks).mean() > 0.999, "but for rounding to half precision"


def turned(case: Case) -> Case:
    """Dark where the source is bright."""
    return replace(case, images=(-case.images).astype(np.float32))


def target(seeds: range) -> Slices:
    return Slices.of(turned(blob("t", seed)).images for seed in seeds)


def test_a_mean_teacher_learns_from_three_slices(model: Path, tmp_path: Path):
    network, few, test = network_of(read_model(model), "cpu"), turned(few_shot()), turned(blob("t", 90))
    labelled = Slices.of(few.images[:, None], few.labels)
    p = parameters("mean teacher", schedule={**SCHEDULE, "steps": 60, "ema": 0.9})

    def dice() -> float:
        with torch.no_grad():
            images = Slices.of([test.images]).read(torch.arange(6), 0.0, torch.Generator())
            return mean_foreground_dice(network.eval()(images).argmax(1).numpy(), test.labels, len(CLASSES))

    before = dice()
    checkpoints = Checkpoints(tmp_path / "x", "x")
    history = train(network, target(range(80, 84)), labelled, ((),), p, 0, checkpoints, Progress("x"))
    assert dice() > before + 0.4
    assert {name for _, name, _ in history.losses} == {"M_t", "consistency"}


def test_the_teacher_is_the_average_of_the_weights(model: Path, tmp_path: Path):
    """The second step's consistency, by hand: the student after one step beside the average of it and the start."""
    images = target(range(80, 81))
    every = torch.arange(len(images.images))
    p = parameters(
        "mean teacher", jitter=0.0, ramp=0.0, batch={"labelled": 0, "unlabelled": len(every)},
        weights={"entropy": 1.0, "consistency": 1.0}, schedule={**SCHEDULE, "steps": 2, "ema": 0.75, "decay_at": 1.0},
    )  # fmt: skip
    start, networks = network_of(read_model(model), "cpu"), []
    for steps in (1, 2):
        networks.append(copy.deepcopy(start))
        own = replace(p, schedule=replace(p.schedule, steps=steps, ema=0.0 if steps == 1 else 0.75))
        checkpoints = Checkpoints(tmp_path / f"{steps}", "x")
        history = train(networks[-1], images, None, ((),), own, 0, checkpoints, Progress("x"))
    student, between = networks[0], copy.deepcopy(start)
    with torch.no_grad():
        for mine, first, then in zip(between.parameters(), start.parameters(), student.parameters(), strict=True):
            mine.copy_(0.75 * first + 0.25 * then)
        read = images.read(every, 0.0, torch.Generator())
        expected = float(((student(read).softmax(1) - between(read).softmax(1)) ** 2).mean())
    found = [value for step, name, value in history.losses if (step, name) == (2, "consistency")]
    assert found == [pytest.approx(expected, rel=1e-3)] and expected > 1e-6


def test_with_a_rate_that_moves_nothing_teacher_and_student_agree(model: Path, tmp_path: Path):
    network = network_of(read_model(model), "cpu")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    p = parameters("mean teacher", learning_rate=1e-12, jitter=0.0, ramp=0.0)
    few = few_shot()
    history = train(
        network, target(range(80, 82)), Slices.of(few.images[:, None], few.labels), ((),), p, 0,
        Checkpoints(tmp_path / "x", "x"), Progress("x"),
    )  # fmt: skip
    assert all(torch.allclose(value, before[name], atol=1e-6) for name, value in network.state_dict().items())
    assert max(value for _, name, value in history.losses if name == "consistency") < 1e-9


def store_of(classes: list[str], folder: Path) -> Path:
    """A target's store with discs of its first class."""
    store = write_discs(folder / "store", 0)
    content = json.loads((store / "store.json").read_text())
    (store / "store.json").write_text(json.dumps({**content, "classes": classes}))
    return store


def test_a_model_of_other_classes_is_refused(model: Path, tmp_path: Path):
    view = ClientView(store_of(["disc"], tmp_path), NONE)
    task = Fit(view, KINDS["entropy"], 4, "cpu", Checkpoints(tmp_path / "work", "x"), Progress("x"), (model,))
    with pytest.raises(FedFactoryError, match="has the classes disc, .*/model segments core, shell; take the model"):
        fit(task, tmp_path)


def test_slices_that_the_network_cannot_make_smaller_are_refused(model: Path, tmp_path: Path):
    store = store_of(CLASSES, tmp_path)
    for name in ("images", "labels"):
        array = np.load(store / f"{name}.npy")
        np.save(store / f"{name}.npy", array[:, :30, :30])
    task = Fit(ClientView(store), KINDS["entropy"], 4, "cpu", Checkpoints(tmp_path / "w", "x"), Progress("x"), (model,))
    with pytest.raises(FedFactoryError, match="has slices of 30 pixels, no multiple of the 4 by which"):
        fit(task, tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_is_an_nnunet_model_and_the_same_after_a_kill(
    kind: str, model: Path, tmp_path: Path, checkpoint_at_every_step: None
):
    """Without labels declared none is seen."""
    labels = Labels(few_shot=None) if KINDS[kind]["batch"]["labelled"] else NONE
    view = ClientView(store_of(CLASSES, tmp_path), labels)

    def run(name: str, progress: Progress) -> dict[str, bytes]:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        checkpoints = Checkpoints(tmp_path / f"{name}.work", "x")
        fit(Fit(view, KINDS[kind], 4, "cpu", checkpoints, progress, (model,)), folder)
        return {file.name: file.read_bytes() for file in folder.iterdir()}

    whole = run("whole", Progress("x"))
    with pytest.raises(Killed):
        run("killed", KillAt(4))
    assert run("killed", Progress("x")) == whole
    assert {"plans.json", "dataset.json", "model.json", "weights.pt", "losses.csv", "validation.csv"} == set(whole)
    assert json.loads(whole["model.json"])["self_training"] == KINDS[kind]
    volume = next(iter(view.test_volumes()))
    masks = load_segmenter(tmp_path / "whole", "cpu", test_time_mirroring=True)(volume.images)
    assert masks.shape == volume.images.shape
    # A state dict names each parameter of a block twice.
    names = {name for name, _ in network_of(read_model(model), "cpu").named_parameters()}
    before, after = (read_model(folder).weights for folder in (model, tmp_path / "whole"))
    moved = {name for name in names if not torch.equal(before[name], after[name])}
    assert moved and any(".seg_layers." in name for name in moved) == (KINDS[kind]["trained"] == "all")
    assert kind != "entropy" or all(".norm." in name for name in moved)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("entropy", {"batch": {"labelled": 1, "unlabelled": 1}}, "'methods.x.batch.labelled': slices of M_t go with"),
        ("mean teacher", {"weights": {"labelled": 1.0}}, "'methods.x.weights': give a term without labels a weight"),
        ("entropy", {"trained": "norms"}, "'methods.x.trained'"),
    ],
)
def test_bad_parameters_get_a_sentence(kind: str, changes: dict, message: str):
    with pytest.raises(FedFactoryError, match=message):
        parameters(kind, **changes)
