"""What of a run is done, made now, or failed."""

import subprocess

import pytest

from fedfactory.errors import FedFactoryError
from fedfactory.orchestration.cli import main
from fedfactory.orchestration.status import status
from fedfactory.storage.files import claimed


def test_a_finished_run_has_nothing_under_way(cell, capsys):
    found = status(cell)
    assert found.done == {"prepare": 1, "train": 1, "score": 1}
    assert not found.running and not found.failed
    assert main(["status", str(cell)]) == 0
    said = capsys.readouterr().out
    assert "3 jobs are done" in said and "nothing is made now" in said and "fedfactory plan" in said


def test_what_is_being_made_is_named_with_who_makes_it(cell):
    with claimed(cell / "mm/pet/ours/seed0/model"):
        (what,) = status(cell).running.items()
        assert what[0] == "mm/pet/ours/seed0/model" and what[1].startswith("process ")
    left = cell / "mm/pet/ours/seed0/.model.lock"
    left.write_text("process 1 on a machine that is gone")
    assert not status(cell).running, "a killed job holds nothing"


def test_a_job_that_failed_is_named_with_its_reason_until_it_succeeds(cell, job, capsys):
    (cell.parent.parent / "results/run/mm/ct/data").rename(cell / "mm/ct/away")
    with pytest.raises(subprocess.CalledProcessError):
        job("train", "results/run/mm/ct/nnunet/seed0/model", {"data": "results/run/mm/ct/data"})
    (log, reason), *others = status(cell).failed.items()
    assert log == "logs/train/seed0.log" and "data" in reason and not others
    assert main(["status", str(cell)]) == 1
    assert "1 failed at their last attempt" in capsys.readouterr().out
    (cell / "mm/ct/away").rename(cell / "mm/ct/data")
    job("train", "results/run/mm/ct/nnunet/seed0/model", {"data": "results/run/mm/ct/data"})
    assert not status(cell).failed


def test_what_is_no_run_is_said(tmp_path):
    with pytest.raises(FedFactoryError, match="is no folder of a run"):
        status(tmp_path / "nowhere")
