"""Checkpoints under kills, damage and full disks."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch

from fedfactory.config.parameters import Schedule
from fedfactory.errors import FedFactoryError
from fedfactory.orchestration.progress import Progress
from fedfactory.storage.checkpoints import Checkpoints
from fedfactory.storage.tensors import write_tensors
from fedfactory.training import loop as training
from tests.conftest import ROOT


def state(value: int) -> dict:
    return {"round": value, "weights": torch.full((1000,), float(value))}


def files(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "identity")


def test_two_are_kept_and_the_name_is_the_digest_of_the_content(tmp_path):
    checkpoints = Checkpoints(tmp_path, "x")
    for number in (1, 2, 3):
        checkpoints.save(number, state(number))
    assert checkpoints.rounds() == [2, 3] and len(files(tmp_path)) == 2
    checkpoints.save(3, state(4))
    assert checkpoints.rounds() == [2, 3] and checkpoints.load(3)["round"] == 4, "what a round was is replaced"
    checkpoints.save(3, state(4))
    assert len(files(tmp_path)) == 2, "the same content has the same name"


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_file_is_seen_and_the_one_before_is_taken(tmp_path, damage, caplog):
    checkpoints = Checkpoints(tmp_path, "x")
    for number in (1, 2):
        checkpoints.save(number, state(number))
    file = tmp_path / files(tmp_path)[-1]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes({"flip": bytes(content), "cut": bytes(content[:-100]), "empty": b""}[damage])
    again = Checkpoints(tmp_path, "x")
    assert again.rounds() == [1]
    assert f"{file} is damaged" in caplog.text
    again.save(2, state(2))
    assert again.rounds() == [1, 2]


def test_damaged_files_of_later_rounds_take_no_place_from_new_ones(tmp_path):
    checkpoints = Checkpoints(tmp_path, "x")
    for number in (1, 50, 60):
        checkpoints.save(number, state(number))
    for file in files(tmp_path):
        (tmp_path / file).write_bytes(b"")
    (tmp_path / ".partial-round000061").write_bytes(b"of a killed job")
    again = Checkpoints(tmp_path, "x")
    assert again.rounds() == [] and files(tmp_path) == []
    for number in (1, 2):
        again.save(number, state(number))
    assert again.rounds() == [1, 2]


def test_a_full_disk_is_a_sentence_and_the_last_state_survives(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path, "x")
    checkpoints.save(1, state(1))

    def on_a_full_disk(content, path):
        path.touch()
        return write_tensors(content, type(path)("/dev/full"))

    monkeypatch.setattr("fedfactory.storage.checkpoints.write_tensors", on_a_full_disk)
    with pytest.raises(FedFactoryError) as error:
        checkpoints.save(2, state(2))
    assert "checkpoint of round 2 cannot be written (No space left on device); make room" in str(error.value)
    assert "it goes on from round 1" in str(error.value)
    assert len(files(tmp_path)) == 1 and Checkpoints(tmp_path, "x").load(1)["round"] == 1


def test_a_script_says_what_the_disk_said(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import argparse
            from pathlib import Path

            from fedfactory.orchestration.job import run_script
            from fedfactory.storage.tensors import write_tensors

            run_script(argparse.ArgumentParser(), lambda arguments: write_tensors([1, 2], Path("/dev/full")))
            """
        )
    )
    command = [sys.executable, script, "--log", tmp_path / "log"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().endswith("No space left on device; make room, and start the job again")
    assert "Traceback" in (tmp_path / "log").read_text()


SCHEDULE = Schedule(steps=240, decay_at=0.5, clip=10.0, ema=0.9, validations=6)


def learn(folder, result) -> None:
    """A training that is made to leave a checkpoint after every step, so that most kills hit one in the making."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.BatchNorm1d(256), torch.nn.Linear(256, 1))
    optimiser = training.Plain(torch.optim.Adam(network.parameters(), lr=0.01))

    def losses(step, stream):
        images = torch.randn(16, 64, generator=stream)
        return {"loss": (network(images) - images[:, :1]).square().mean()}

    learner = training.Learner(network, optimiser, 0.01)
    work = training.Training(
        {"network": learner}, SCHEDULE, 0, losses, lambda: {"one": float(network[0].bias[0].detach().sigmoid())}
    )
    history = work.run(Checkpoints(folder, "x"), Progress("learn"))
    content = [network.state_dict(), history.losses, history.validations, history.chosen]
    write_tensors(content, result.with_suffix(".partial"))
    result.with_suffix(".partial").replace(result)


@pytest.mark.slow
def test_a_training_is_the_same_bytes_after_kills_at_any_moment(tmp_path, checkpoint_at_every_step, one_thread):
    """Killed again and again, at random moments of which many lie in the middle of a checkpoint."""
    context = multiprocessing.get_context("fork")
    learn(tmp_path / "whole", tmp_path / "whole.pt")
    chance = random.Random(0)
    kills, resumed = 0, set()
    while not (tmp_path / "killed.pt").exists():
        process = context.Process(target=learn, args=(tmp_path / "work", tmp_path / "killed.pt"))
        process.start()
        time.sleep(chance.uniform(0.01, 0.12))
        if process.is_alive() and kills < 40:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.join()
        resumed |= set(Checkpoints(tmp_path / "work", "x").rounds()) if (tmp_path / "work").exists() else set()
    assert kills >= 10 and len(resumed) >= 5, (kills, resumed)
    (weights, *history), (expected, *as_before) = (
        torch.load(tmp_path / name, weights_only=True) for name in ("killed.pt", "whole.pt")
    )
    assert history == as_before
    assert all(torch.equal(weights[name], value) for name, value in expected.items())
