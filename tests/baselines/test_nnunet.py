"""nnU-Net in one process: parameters, planning, training, fine-tuning, prediction.

The data are made up: a bright ellipse (class core) inside a ring (class shell) in noise.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest

from fedfactory.config.parameters import read
from fedfactory.errors import FedFactoryError
from fedfactory.evaluation.choice import Choice
from fedfactory.evaluation.dice import mean_foreground_dice
from fedfactory.methods.contract import Trained
from fedfactory.methods.nnunet import finetuning, training
from fedfactory.methods.nnunet.environment import nnunet_environment, serial_pools
from fedfactory.methods.nnunet.finetuning import chosen_by_source
from fedfactory.methods.nnunet.inference import choose, load_segmenter, segmenter
from fedfactory.methods.nnunet.model import adapted
from fedfactory.methods.nnunet.parameters import FinetuningSchedule, NnunetParameters
from fedfactory.methods.nnunet.planning import plan
from fedfactory.storage.checkpoints import Checkpoints
from tests.conftest import ROOT, KillAt, Killed, wait_until

CLASSES = ["core", "shell"]
SOURCE = {
    "trainer": "nnUNetTrainer",
    "epochs": 2,
    "iterations_per_epoch": 15,
    "initial_lr": 0.01,
    "batch_size": 4,
    "features_per_stage": [8, 16, 32],
}
TRANSFER = {"trainer": "nnUNetTrainer", "iterations_per_epoch": 2, "batch_size": 2, "base": "nnunet"}
# A rate at which no weight visibly moves, and one at which a few steps ruin the network.
STANDSTILL, RUIN = {"epochs": 1, "initial_lr": 1e-12}, {"epochs": 1, "initial_lr": 10.0}


@dataclass(frozen=True)
class Case:
    name: str
    images: np.ndarray
    labels: np.ndarray | None


class Recorder:
    def __init__(self) -> None:
        self.updates: list[tuple[int, int, str]] = []

    def update(self, done: int, total: int, message: str = "") -> None:
        self.updates.append((done, total, message))


def blob(name: str, seed: int, slices: int = 6, size: int = 32) -> Case:
    """A volume with a bright core, a darker shell around it, and noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size - 0.5
    centre, axes = rng.uniform(-0.12, 0.12, 2), rng.uniform(0.14, 0.2, 2)
    radius = np.hypot((y - centre[0]) / axes[0], (x - centre[1]) / axes[1])
    labels = np.repeat(np.where(radius < 1, 1, np.where(radius < 1.7, 2, 0))[None], slices, axis=0).astype(np.uint8)
    images = np.array([-0.6, 0.7, 0.0])[labels] + rng.normal(0, 0.1, labels.shape)
    return Case(name, np.clip(images, -1, 1).astype(np.float32), labels)


def source(**changes: object) -> NnunetParameters:
    return read(NnunetParameters, {**SOURCE, **changes}, "methods.nnunet")


def transfer(*schedules: dict, **changes: object) -> NnunetParameters:
    return read(NnunetParameters, {**TRANSFER, "schedules": list(schedules), **changes}, "methods.nnunet_tl")


def few_shot(seed: int = 70) -> Case:
    parts = [blob("x", seed + i) for i in range(3)]
    return Case("few", np.stack([p.images[2] for p in parts]), np.stack([p.labels[2] for p in parts]))


def checkpoints_of(out: Path) -> Checkpoints:
    return Checkpoints(out.with_name(f".{out.name}.work"), "x")


def train(plan_dir: Path, parameters: NnunetParameters, seed: int, device: str, out: Path, progress: Recorder) -> None:
    checkpoints = checkpoints_of(out)
    training.train(plan_dir, parameters, seed, device, checkpoints, out, progress)
    checkpoints.remove()


def finetune(base: Path, few: Case, p: NnunetParameters, out: Path, progress: Recorder) -> None:
    checkpoints = checkpoints_of(out)
    finetuning.finetune(base, few, p, 5, "cpu", checkpoints, out, progress)
    checkpoints.remove()


TRAIN = [blob(f"train_{i}", i) for i in range(3)]
VALIDATION = [blob("validation_0", 50)]


def make_plan(out: Path) -> Path:
    plan(TRAIN, VALIDATION, CLASSES, out)
    return out


@pytest.fixture(scope="module")
def plan_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_plan(tmp_path_factory.mktemp("plan") / "plan")


@pytest.fixture(scope="module")
def trained(plan_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model") / "source"
    train(plan_dir, source(), 3, "cpu", out, Recorder())
    return out


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# ----- without training


def test_import_is_light() -> None:
    code = "import sys, fedfactory.methods.nnunet; print([m for m in ('torch', 'nnunetv2') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epoch": 3}, "'methods.nnunet.epoch': is unknown; known are"),
        ({"epochs": "3"}, "epochs': must be a whole number"),
        ({"epochs": True}, "epochs': must be a whole number"),
        ({"initial_lr": -1}, "initial_lr': must be above 0, not -1"),
        ({"initial_lr": None}, "initial_lr': is missing: a model trained on all labels"),
        ({"trainer": None}, "trainer': must be a text, not None"),
        ({"features_per_stage": [16, "x"]}, "features_per_stage.1': must be a whole number, not 'x'"),
        ({"checkpoint": "latest"}, "checkpoint': must be 'final' or 'best', not 'latest'"),
        ({"test_time_mirroring": 1}, "test_time_mirroring': must be true or false, not 1"),
        ({"schedules": [STANDSTILL]}, "schedules': a model trained on all labels (base is not set) has no use for it"),
        ({"from_scratch": True}, "from_scratch': a model trained on all labels (base is not set) has no use for it"),
        ({"base": "nnunet", "schedules": [STANDSTILL]}, "epochs': a fine-tuned model (base is set) has no use for it"),
    ],
)
def test_parameters_name_the_wrong_key(changes: dict, message: str) -> None:
    with pytest.raises(FedFactoryError, match="^key 'methods.nnunet") as error:
        source(**changes)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({"epochs": 1}, "schedules.0.initial_lr': is missing"),
        ({**STANDSTILL, "lr": 1}, "schedules.0.lr': is unknown; known are epochs, from_dice, initial_lr"),
    ],
)
def test_parameters_check_the_schedules(schedule: dict, message: str) -> None:
    with pytest.raises(FedFactoryError, match=message):
        transfer(schedule)


def test_parameters_keep_the_stock_proportion_of_validation() -> None:
    assert source(iterations_per_epoch=250).validation_iterations == 50
    assert source(iterations_per_epoch=2).validation_iterations == 1


def planned(stages: int) -> dict:
    network = {"n_stages": stages, "features_per_stage": [32] * stages, "n_conv_per_stage_decoder": [2] * (stages - 1)}
    network |= {key: [[2]] * stages for key in ("kernel_sizes", "strides", "n_conv_per_stage")}
    configuration = {"batch_size": 12, "patch_size": [64, 64], "architecture": {"arch_kwargs": network}}
    return {"configurations": {"2d": configuration}}


def test_fewer_features_cut_the_deepest_stages() -> None:
    plans = planned(5)
    configuration = adapted(plans, source(features_per_stage=[4, 8, 16, 32], batch_size=None))["configurations"]["2d"]
    network = configuration["architecture"]["arch_kwargs"]
    assert (network["n_stages"], network["features_per_stage"]) == (4, [4, 8, 16, 32])
    assert [len(network[k]) for k in ("strides", "kernel_sizes", "n_conv_per_stage")] == [4, 4, 4]
    assert len(network["n_conv_per_stage_decoder"]) == 3
    assert configuration["batch_size"] == 12
    assert plans == planned(5), "the shared plans must not change"


@pytest.mark.parametrize("features", [[8, 16], [2] * 6])
def test_impossible_features_are_an_error(features: list[int]) -> None:
    with pytest.raises(FedFactoryError, match="3 to 5 are possible"):
        adapted(planned(5), source(features_per_stage=features))


@pytest.mark.parametrize(
    ("volumes", "message"),
    [
        ([replace(TRAIN[0], labels=None)], "has no labels"),
        ([replace(TRAIN[0], labels=TRAIN[0].labels + 1)], "has label 3, but 2 classes"),
        ([replace(TRAIN[0], images=TRAIN[0].images[0])], "must be"),
        ([replace(TRAIN[0], images=TRAIN[0].images * np.nan)], "not finite"),
        ([replace(TRAIN[0], name="a_seg")], "no usable volume name"),
        ([replace(TRAIN[0], name=VALIDATION[0].name)], "'validation_0' is named twice"),
        ([], "at least one volume to train on"),
    ],
)
def test_plan_rejects_what_does_not_fit(volumes: list[Case], message: str, tmp_path: Path) -> None:
    with pytest.raises(FedFactoryError, match=message):
        plan(volumes, VALIDATION, CLASSES, tmp_path / "plan")
    assert list(tmp_path.iterdir()) == [], "nothing half written may stay behind"


def test_plan_rejects_reserved_classes(tmp_path: Path) -> None:
    with pytest.raises(FedFactoryError, match="not background and ignore"):
        plan(TRAIN, VALIDATION, ["core", "ignore"], tmp_path / "plan")


def test_dice_leaves_absent_classes_out() -> None:
    truth = np.array([[[0, 1, 1, 2]]])
    assert mean_foreground_dice(np.array([[[0, 1, 0, 2]]]), truth, 3) == pytest.approx((2 / 3 + 1) / 2)
    assert np.isnan(mean_foreground_dice(truth * 0, truth * 0, 3))


def test_the_source_models_dice_on_m_t_chooses_the_schedule() -> None:
    gentle, strong = FinetuningSchedule(8, 0.05, from_dice=0.4), FinetuningSchedule(16, 0.15)
    assert [chosen_by_source([gentle, strong], dice) for dice in (0.0, 0.39, 0.4, 0.9)] == [1, 1, 0, 0]
    assert chosen_by_source([strong], None) == 0
    assert chosen_by_source([gentle, gentle], 0.1) == 1, "the last one where none fits"


@pytest.fixture(scope="module", autouse=True)
def no_forks() -> Iterator[None]:
    """A forked copy of a process with torch's threads may hang for ever: nothing here may make one."""

    def refuse() -> int:
        raise AssertionError("nnU-Net forked a worker process")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fork", refuse)
        yield


def test_serial_pool_works_in_this_process_and_is_put_back() -> None:
    import multiprocessing
    from types import ModuleType

    module = ModuleType("module")
    module.multiprocessing = multiprocessing
    with serial_pools(module), module.multiprocessing.get_context("spawn").Pool(8) as pool:
        job = pool.starmap_async(lambda a, b: a + b, ((1, 2), (3, 4)))
        assert job.ready() and job.get() == [3, 7]
    assert module.multiprocessing is multiprocessing
    module.Pool = multiprocessing.Pool
    with serial_pools(module), module.Pool(processes=12) as pool:
        assert pool.starmap(max, ((1, 2), (4, 3))) == [2, 4]
    assert module.Pool == multiprocessing.Pool


# ----- with nnU-Net


@pytest.mark.slow
def test_end_to_end_beats_chance(
    plan_dir: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    progress = Recorder()
    capfd.readouterr()
    with caplog.at_level("INFO"):
        train(plan_dir, source(), 3, "cpu", tmp_path / "model", progress)
    assert any("pseudo" in m.lower() for m in caplog.messages), "nnU-Net's prints belong in the log"
    assert capfd.readouterr().out == "", "nnU-Net's prints do not belong on the terminal"
    assert [(done, total) for done, total, _ in progress.updates] == [(1, 2), (2, 2)]

    names = ["dataset.json", "model.json", "plans.json", "training.csv", "weights.pt"]
    assert sorted(files(tmp_path / "model")) == names
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model"], "no working files stay behind"

    import torch

    weights = torch.load(tmp_path / "model" / "weights.pt", weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in weights.values())
    rows = list(csv.DictReader((tmp_path / "model" / "training.csv").open()))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert float(rows[1]["train_loss"]) < float(rows[0]["train_loss"])
    card = json.loads((tmp_path / "model" / "model.json").read_text())
    assert (card["trainer"], card["configuration"], card["classes"]) == ("nnUNetTrainer", "2d", CLASSES)

    segment = load_segmenter(tmp_path / "model", "cpu", test_time_mirroring=False)
    truth = blob("test", 90)
    labels = segment(truth.images)
    assert (labels.shape, labels.dtype) == (truth.images.shape, np.uint8)
    chance = mean_foreground_dice(np.ones_like(truth.labels), truth.labels, 2)
    assert mean_foreground_dice(labels, truth.labels, 2) > 2 * chance


@pytest.mark.slow
def test_two_runs_give_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    import torch

    torch.manual_seed(11)
    np.random.seed(11)
    threads = torch.get_num_threads()
    train(make_plan(tmp_path / "elsewhere" / "plan"), source(), 3, "cpu", tmp_path / "again", Recorder())
    assert files(tmp_path / "again") == files(trained)
    assert torch.get_num_threads() == threads
    assert torch.initial_seed() == 11, "the caller's random numbers are left alone"
    images = blob("test", 90).images
    one, two = (load_segmenter(m, "cpu", True)(images) for m in (trained, tmp_path / "again"))
    assert np.array_equal(one, two)


@pytest.mark.slow
def test_another_seed_gives_other_weights(plan_dir: Path, trained: Path, tmp_path: Path) -> None:
    before = files(plan_dir)
    train(plan_dir, source(), 4, "cpu", tmp_path / "model", Recorder())
    assert files(tmp_path / "model")["weights.pt"] != files(trained)["weights.pt"]
    assert files(plan_dir) == before, "several trainings share the plan folder: it is only read"


@pytest.mark.slow
def test_momentum_is_the_trainers_own_or_the_given_one(plan_dir: Path, tmp_path: Path) -> None:
    """Null is nnU-Net's 0.99. A trainer whose optimiser has none says so."""

    def weights(**changes: object) -> bytes:
        out = tmp_path / "model"
        train(plan_dir, source(epochs=1, iterations_per_epoch=3, **changes), 3, "cpu", out, Recorder())
        found = files(out)["weights.pt"]
        shutil.rmtree(out)
        return found

    stock = weights()
    assert weights(momentum=0.99) == stock != weights(momentum=0.9)
    with pytest.raises(FedFactoryError, match="'momentum' is set, but the optimiser of nnUNetTrainerAdam has none"):
        weights(trainer="nnUNetTrainerAdam", momentum=0.9)


@pytest.mark.slow
def test_plan_gives_the_same_bytes_elsewhere(plan_dir: Path, tmp_path: Path) -> None:
    again, first = files(make_plan(tmp_path / "plan")), files(plan_dir)
    assert again == first
    assert not any(str(tmp_path).encode() in content for content in again.values())


@pytest.mark.slow
def test_strong_augmentation_and_best_checkpoint(plan_dir: Path, tmp_path: Path) -> None:
    parameters = source(trainer="nnUNetTrainerDA5", checkpoint="best", epochs=1, iterations_per_epoch=3)
    train(plan_dir, parameters, 3, "cpu", tmp_path / "one", Recorder())
    train(plan_dir, parameters, 3, "cpu", tmp_path / "two", Recorder())
    assert files(tmp_path / "one") == files(tmp_path / "two")


@pytest.mark.slow
def test_no_transform_is_chosen_by_stop_watch(plan_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform

    def refuse(*arguments: object) -> None:
        raise AssertionError("the choice of an algorithm depends on the load of the machine")

    applied = []
    stock = GaussianBlurTransform._apply_to_image

    def blur(self: GaussianBlurTransform, *arguments: object, **parameters: object) -> object:
        applied.append(self)
        return stock(self, *arguments, **parameters)

    monkeypatch.setattr(GaussianBlurTransform, "_benchmark_wrapper", refuse)
    monkeypatch.setattr(GaussianBlurTransform, "_apply_to_image", blur)
    train(plan_dir, source(epochs=1, iterations_per_epoch=5), 3, "cpu", tmp_path / "model", Recorder())
    assert applied, "a run without blur shows nothing"
    assert not any(transform.benchmark for transform in applied)


@pytest.mark.slow
def test_finetune_needs_nothing_but_the_model(trained: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    plan_dir = make_plan(tmp_path / "plan")
    shutil.copytree(trained, base)
    shutil.rmtree(plan_dir)
    progress = Recorder()
    schedules = [{"epochs": 2, "initial_lr": 1e-3}, STANDSTILL]
    for out in ("one", "two"):
        finetune(base, few_shot(), transfer(*schedules), tmp_path / out, progress)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert [done for done, _, _ in progress.updates] == [1, 2, 3, 1, 2, 3]
    assert {total for _, total, _ in progress.updates} == {3}
    card = json.loads((tmp_path / "one" / "model.json").read_text())
    assert card["chosen_schedule"] == 0 and 0 <= card["source_dice_on_m_t"] <= 1
    assert (tmp_path / "one/weights.pt").read_bytes() == (tmp_path / "one/schedule0.pt").read_bytes()
    assert (tmp_path / "one/schedule1.pt").read_bytes() != (tmp_path / "one/schedule0.pt").read_bytes()
    assert card["parameters"]["base"] == "nnunet"
    rows = list(csv.DictReader((tmp_path / "one" / "training.csv").open()))
    assert [(r["schedule"], r["epoch"]) for r in rows] == [("0", "0"), ("0", "1"), ("1", "0")]


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["nnUNetTrainer", "nnUNetTrainerDA5"])
def test_a_killed_training_goes_on_as_if_there_had_been_no_kill(
    plan_dir: Path, tmp_path: Path, checkpoint_at_every_step: None, trainer: str
) -> None:
    parameters = source(trainer=trainer, epochs=4, iterations_per_epoch=3, checkpoint="best")
    whole, again = Recorder(), Recorder()
    train(plan_dir, parameters, 3, "cpu", tmp_path / "whole", whole)
    with pytest.raises(Killed):
        train(plan_dir, parameters, 3, "cpu", tmp_path / "killed", KillAt(2))
    train(plan_dir, parameters, 3, "cpu", tmp_path / "killed", again)
    assert again.updates == whole.updates[2:]
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


@pytest.mark.slow
def test_workers_load_and_none_outlives_a_killed_training(plan_dir: Path, tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from tests.baselines.test_nnunet import Recorder, source, train
parameters = source(epochs={{epochs}}, workers=2)
train(Path({str(plan_dir)!r}), parameters, 3, "cpu", Path({str(tmp_path / "model")!r}), Recorder())
"""
    subprocess.run([sys.executable, "-c", code.format(epochs=1)], cwd=ROOT, check=True)
    assert (tmp_path / "model/weights.pt").exists()
    job = subprocess.Popen([sys.executable, "-c", code.format(epochs=1000)], cwd=ROOT)
    # Two for the training, one for its validation.
    wait_until(lambda: len(psutil.Process(job.pid).children()) == 3, 60)
    workers = psutil.Process(job.pid).children()
    job.kill()
    job.wait()
    psutil.wait_procs(workers, timeout=10)
    assert not [worker for worker in workers if worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.slow
def test_a_killed_fine_tuning_keeps_its_finished_schedules(
    trained: Path, tmp_path: Path, checkpoint_at_every_step: None
) -> None:
    parameters = transfer({"epochs": 2, "initial_lr": 1e-3}, {"epochs": 3, "initial_lr": 1e-3})
    again = Recorder()
    finetune(trained, few_shot(), parameters, tmp_path / "whole", Recorder())
    with pytest.raises(Killed):
        finetune(trained, few_shot(), parameters, tmp_path / "killed", KillAt(3))
    finetune(trained, few_shot(), parameters, tmp_path / "killed", again)
    assert [done for done, _, _ in again.updates] == [4, 5]
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


@pytest.mark.slow
def test_finetune_transfers_all_weights(trained: Path, tmp_path: Path) -> None:
    import torch

    finetune(trained, few_shot(), transfer(STANDSTILL), tmp_path / "model", Recorder())
    before, after = (torch.load(m / "weights.pt", weights_only=True) for m in (trained, tmp_path / "model"))
    assert before.keys() == after.keys() and any("seg_layers" in key for key in after)
    for key in before:
        torch.testing.assert_close(after[key], before[key], atol=1e-6, rtol=0)


@pytest.mark.slow
def test_what_m_t_teaches_alone_knows_nothing_of_the_sources_weights(trained: Path, tmp_path: Path) -> None:
    """Another source model with the same plan: the same bytes."""
    import torch

    other = tmp_path / "other"
    shutil.copytree(trained, other)
    weights = torch.load(other / "weights.pt", weights_only=True)
    torch.save({key: torch.zeros_like(value) for key, value in weights.items()}, other / "weights.pt")
    found = {}
    for name, base in (("one", trained), ("two", other)):
        finetune(base, few_shot(), transfer(STANDSTILL, from_scratch=True), tmp_path / name, Recorder())
        found[name] = torch.load(tmp_path / name / "weights.pt", weights_only=True)
    assert all(torch.equal(found["one"][key], found["two"][key]) for key in weights)
    assert any(not torch.allclose(found["one"][key], weights[key], atol=1e-3) for key in weights)


@pytest.mark.slow
def test_validation_volumes_choose_the_schedule_where_they_may(trained: Path, tmp_path: Path) -> None:
    """The same model, opposite validation labels: the choice turns around, and the model's own stays."""
    model = tmp_path / "model"
    finetune(trained, few_shot(), transfer(RUIN, STANDSTILL), model, Recorder())
    assert json.loads((model / "model.json").read_text())["chosen_schedule"] == 0
    images = blob("v", 60).images
    liked = Case("v", images, load_segmenter(trained, "cpu", True)(images))
    disliked = Case("v", images, np.where(liked.labels == 0, 1, 0).astype(np.uint8))
    own = Trained(model, (), SimpleNamespace(classes=CLASSES), {"mirroring": True}, "native", "cpu")
    masks = {}
    for name, volume in {"liked": liked, "disliked": disliked}.items():
        choice = Choice(choose(own, [volume]))
        assert choice.state.way == {"liked": "schedule 2", "disliked": "schedule 1"}[name]
        masks[name] = segmenter(replace(own, choice=choice))(images)
    masks["strict"] = segmenter(own)(images)
    assert np.array_equal(masks["strict"], masks["disliked"]) and not np.array_equal(masks["strict"], masks["liked"])


def test_wrong_kind_of_parameters(tmp_path: Path) -> None:
    with pytest.raises(FedFactoryError, match="use finetune"):
        train(tmp_path, transfer(STANDSTILL), 0, "cpu", tmp_path / "m", Recorder())
    with pytest.raises(FedFactoryError, match="use train"):
        finetune(tmp_path, few_shot(), source(), tmp_path / "m", Recorder())


def test_missing_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(FedFactoryError, match="run the planning step"):
        train(tmp_path, source(), 0, "cpu", tmp_path / "m", Recorder())
    with pytest.raises(FedFactoryError, match="plans.json is missing"):
        load_segmenter(tmp_path, "cpu", True)


@pytest.mark.slow
def test_unknown_trainer_names_the_known_ones(plan_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(FedFactoryError, match="no trainer 'nnUNetTrainerX'; it has .*nnUNetTrainerDA5"):
        train(plan_dir, source(trainer="nnUNetTrainerX"), 0, "cpu", tmp_path / "m", Recorder())
    assert not (tmp_path / "m").exists()


@pytest.mark.slow
def test_segmenter_shapes(trained: Path) -> None:
    segment = load_segmenter(trained, "cpu", True)
    for wrong in (np.zeros((32, 32)), np.zeros((0, 32, 32)), np.zeros((1, 2, 32, 32)), np.full((1, 32, 32), np.nan)):
        with pytest.raises(FedFactoryError, match="A volume to segment"):
            segment(wrong.astype(np.float32))
    # Smaller and larger than the patch, not square, one slice, no contrast.
    for shape in ((1, 20, 24), (2, 50, 33), (3, 32, 32)):
        assert segment(np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)).shape == shape
    assert segment(np.zeros((2, 32, 32), np.float32)).shape == (2, 32, 32)


@pytest.mark.slow
def test_slices_are_segmented_alone(trained: Path) -> None:
    """With mean and deviation fixed, the order of the slices does not matter."""
    segment = load_segmenter(trained, "cpu", False)
    images = np.concatenate([blob("v", 60 + i).images[:2] for i in range(3)])
    order = np.array([4, 0, 5, 2, 1, 3])
    assert np.array_equal(segment(images)[order], segment(images[order]))


@pytest.mark.slow
def test_several_slices_in_a_pass_are_as_nnunet_segments_them_one_by_one(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slices larger than the patch, so that patches overlap, and more of them than a pass holds."""
    with nnunet_environment():
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        from fedfactory.methods.nnunet import _predictor
    images, passes = np.random.default_rng(0).uniform(-1, 1, (3, 50, 33)).astype(np.float32), []
    network = nnUNetPredictor._internal_maybe_mirror_and_predict

    def counted(self: Any, x: Any) -> Any:
        passes.append(len(x))
        return network(self, x)

    monkeypatch.setattr(nnUNetPredictor, "_internal_maybe_mirror_and_predict", counted)
    ours, sizes = load_segmenter(trained, "cpu", True)(images), list(passes)
    monkeypatch.setattr(_predictor, "BenchmarkPredictor", nnUNetPredictor)
    passes.clear()
    stock = load_segmenter(trained, "cpu", True)(images)
    assert len(passes) == sum(sizes) and len(sizes) < len(passes), "the same patches in fewer passes"
    assert (ours != stock).mean() < 0.001
